package rewrite

import "encoding/binary"

// Kinds of TCP options (RFC 9293 3.2, RFC 2018).
const (
	tcpOptionEnd  = 0
	tcpOptionNop  = 1
	tcpOptionSACK = 5
)

// TCPSeq returns the sequence number of a TCP segment, 0 when the packet is no
// unfragmented one with a whole header.
func TCPSeq(frame []byte, p *Packet) uint32 {
	if tcpHeaderLen(frame, p) == 0 {
		return 0
	}
	return binary.BigEndian.Uint32(frame[p.L4+4 : p.L4+8])
}

// SetTCPSeq gives a TCP segment another sequence number. The checksum follows by
// RFC 1624, unless it is partial: the pseudo header does not know the number.
func SetTCPSeq(frame []byte, p *Packet, seq uint32, partial bool) {
	if tcpHeaderLen(frame, p) != 0 {
		setNumber(frame[p.L4:p.End], 4, seq, partial)
	}
}

// MapTCPAcks replaces every number by which a TCP segment tells the other side
// what has arrived, by what to makes of it: the acknowledgement number if the ACK
// flag is set, and the edges of SACK blocks (RFC 2018 section 3), which are of the
// same sequence space. The checksum is treated as by [SetTCPSeq]. From a malformed
// option on, options stay as they are.
func MapTCPAcks(frame []byte, p *Packet, to func(uint32) uint32, partial bool) {
	header := tcpHeaderLen(frame, p)
	if header == 0 || p.TCPFlags&TCPAck == 0 {
		return
	}
	l4 := frame[p.L4:p.End]
	setNumber(l4, 8, to(binary.BigEndian.Uint32(l4[8:12])), partial)
	for at := tcpMinLen; at < header; {
		length := 1
		switch l4[at] {
		case tcpOptionEnd:
			return
		case tcpOptionNop:
		default:
			if at+1 >= header || l4[at+1] < 2 || at+int(l4[at+1]) > header {
				return
			}
			length = int(l4[at+1])
		}
		if l4[at] == tcpOptionSACK {
			for edge := at + 2; edge+4 <= at+length; edge += 4 {
				setNumber(l4, edge, to(binary.BigEndian.Uint32(l4[edge:edge+4])), partial)
			}
		}
		at += length
	}
}

// setNumber stores a 32-bit number at l4[at:]. In a field at an odd offset the
// bytes count for the checksum with their places in the words swapped.
func setNumber(l4 []byte, at int, number uint32, partial bool) {
	field := l4[at : at+4]
	delta := delta32(binary.BigEndian.Uint32(field), number)
	binary.BigEndian.PutUint32(field, number)
	if partial {
		return
	}
	if at%2 != 0 {
		sum := fold(delta)
		delta = uint32(sum<<8 | sum>>8)
	}
	updateChecksum(l4[16:18], delta)
}
