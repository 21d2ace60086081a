package rewrite

import (
	"encoding/binary"
	"hash/crc32"
)

// SCTP chunk types that the package looks for (RFC 9260 section 3.2).
const (
	ChunkInit             = 1
	ChunkInitAck          = 2
	ChunkAbort            = 6
	ChunkShutdown         = 7
	ChunkShutdownAck      = 8
	ChunkError            = 9
	ChunkCookieEcho       = 10
	ChunkCookieAck        = 11
	ChunkShutdownComplete = 14

	// NoChunk is the Chunk of an SCTP packet that ends before its first chunk's
	// header does.
	NoChunk = -1
)

const (
	chunkLen  = 4  // header of a chunk
	initLen   = 20 // INIT without parameters
	sctpSumAt = 8  // the CRC in the common header
	flagT     = 1  // of ABORT and SHUTDOWN COMPLETE: the verification tag is the peer's

	// SCTPRefusalLen is the length in bytes of the longest frame that [SCTPRefusal]
	// writes, one of IPv6.
	SCTPRefusalLen = EthernetLen + ipv6Len + sctpMinLen + chunkLen
)

// castagnoli is the polynomial of SCTP's checksum (RFC 9260, appendix A).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunkOf returns the type of the chunk by which IPVS takes an SCTP packet: the
// first, but ABORT for a COOKIE ECHO or COOKIE ACK with an ABORT right behind it.
func chunkOf(l4 []byte) int16 {
	if len(l4) < sctpMinLen+chunkLen {
		return NoChunk
	}
	first := l4[sctpMinLen]
	if first != ChunkCookieEcho && first != ChunkCookieAck {
		return int16(first)
	}
	next, end := nextChunk(l4, sctpMinLen)
	if end > 0 && next+chunkLen <= len(l4) && l4[next] == ChunkAbort {
		return ChunkAbort
	}
	return int16(first)
}

// nextChunk returns where the chunk behind the one at from begins, and where that
// one ends, its padding not counted; end is 0 when its length is less than its
// header's. Both may lie behind the packet.
func nextChunk(l4 []byte, from int) (next, end int) {
	length := int(binary.BigEndian.Uint16(l4[from+2 : from+4]))
	if length < chunkLen {
		return 0, 0
	}
	return from + (length+3)&^3, from + length
}

// setSCTPChecksum computes the CRC32c of a whole SCTP packet (RFC 9260 6.8).
// The CRC is sent low byte first, unlike everything else (appendix A).
func setSCTPChecksum(l4 []byte) {
	if len(l4) < sctpMinLen {
		return
	}
	clear(l4[sctpSumAt:sctpMinLen])
	binary.LittleEndian.PutUint32(l4[sctpSumAt:], crc32.Checksum(l4, castagnoli))
}

// noCRC stands for the CRC while it is computed.
var noCRC [sctpMinLen - sctpSumAt]byte

// sctpChecksumOK reports whether the CRC32c of a whole SCTP packet is right.
func sctpChecksumOK(l4 []byte) bool {
	if len(l4) < sctpMinLen {
		return false
	}
	crc := crc32.Update(0, castagnoli, l4[:sctpSumAt])
	crc = crc32.Update(crc, castagnoli, noCRC[:])
	crc = crc32.Update(crc, castagnoli, l4[sctpMinLen:])
	return crc == binary.LittleEndian.Uint32(l4[sctpSumAt:])
}

// SCTPRefusal writes into dst the frame of what a host without that association
// owes to the packet in frame (RFC 9260 8.4), and returns its length, at most
// [SCTPRefusalLen]: to an INIT an ABORT with the tag that it brings, to a SHUTDOWN
// ACK a SHUTDOWN COMPLETE, to others an ABORT, both with the packet's own tag and
// the T bit. sound says that the CRC is known to be right, or partial.
//
// Nothing is owed to an ABORT, a SHUTDOWN COMPLETE, a COOKIE ACK, a stale cookie's
// ERROR, a packet with a wrong CRC or whose chunks do not fit into it, a fragment,
// or to or from a group.
func SCTPRefusal(dst, frame []byte, p *Packet, mac [6]byte, sound bool) int {
	if p.Proto != ProtoSCTP || p.Fragment() || p.End-p.L4 < sctpMinLen+chunkLen || !answerable(frame, p) {
		return 0
	}
	l4 := frame[p.L4:p.End]
	if !sound && !sctpChecksumOK(l4) {
		return 0
	}
	kind, flags, tag := uint8(ChunkAbort), uint8(flagT), binary.BigEndian.Uint32(l4[4:8])
	for at := sctpMinLen; at+chunkLen <= len(l4); {
		next, end := nextChunk(l4, at)
		if end == 0 || end > len(l4) {
			return 0
		}
		switch chunk := l4[at:end]; chunk[0] {
		case ChunkAbort, ChunkShutdownComplete, ChunkCookieAck:
			return 0
		case ChunkError:
			const staleCookie = 3
			if len(chunk) >= chunkLen+4 && binary.BigEndian.Uint16(chunk[chunkLen:]) == staleCookie {
				return 0
			}
		case ChunkShutdownAck:
			kind = ChunkShutdownComplete
		case ChunkInit: // alone, and with the tag 0
			if tag != 0 || at != sctpMinLen || next < len(l4) || len(chunk) < initLen {
				return 0
			}
			if tag = binary.BigEndian.Uint32(chunk[chunkLen:]); tag == 0 {
				return 0
			}
			flags = 0
		}
		at = next
	}
	h := answerHeader{src: p.Dst, src6: p.Dst6, flags: flagDF, proto: ProtoSCTP}
	answer, n := putAnswer(dst, frame, p, mac, h, sctpMinLen+chunkLen)
	if n == 0 {
		return 0
	}
	binary.BigEndian.PutUint16(answer[0:2], p.DstPort)
	binary.BigEndian.PutUint16(answer[2:4], p.SrcPort)
	binary.BigEndian.PutUint32(answer[4:8], tag)
	answer[12], answer[13] = kind, flags
	binary.BigEndian.PutUint16(answer[14:16], chunkLen)
	setSCTPChecksum(answer)
	return n
}

// putProbeChunk writes the chunk of a probe behind the common header of l4, whose
// length it fills, and the verification tag.
func putProbeChunk(l4 []byte, kind uint8) {
	chunk := l4[sctpMinLen:]
	chunk[0] = kind
	binary.BigEndian.PutUint16(chunk[2:4], uint16(len(chunk)))
	if kind != ChunkInit {
		binary.BigEndian.PutUint32(l4[4:8], 1)
	}
	if len(chunk) == initLen { // initiate tag, window, streams out and in, first TSN
		binary.BigEndian.PutUint32(chunk[4:8], 1)
		binary.BigEndian.PutUint32(chunk[8:12], probeWindow)
		binary.BigEndian.PutUint16(chunk[12:14], 1)
		binary.BigEndian.PutUint16(chunk[14:16], 1)
		binary.BigEndian.PutUint32(chunk[16:20], 1)
	}
	setSCTPChecksum(l4)
}

// probeChunkLen returns the length of a probe's chunk.
func probeChunkLen(kind int16) int {
	if kind == ChunkInit || kind == ChunkInitAck {
		return initLen
	}
	return chunkLen
}
