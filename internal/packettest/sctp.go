package packettest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// chunkNames are the chunk types of SCTP as the recordings have them.
var chunkNames = []string{
	"DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "HEARTBEAT_ACK", "ABORT", "SHUTDOWN", "SHUTDOWN_ACK", "ERROR",
	"COOKIE_ECHO", "COOKIE_ACK", "12", "13", "SHUTDOWN_COMPLETE",
}

// sctp returns the SCTP packet of p.
func (p Packet) sctp() []byte {
	b := binary.BigEndian.AppendUint16(nil, p.Src.Port())
	b = binary.BigEndian.AppendUint16(b, p.Dst.Port())
	b = binary.BigEndian.AppendUint32(b, p.Tag)
	b = append(b, 0, 0, 0, 0)
	names := strings.Split(p.Chunks, "+")
	for i, name := range names {
		var body []byte
		switch kind := chunkType(name); {
		case p.Chunks == "":
			b = append(b, p.Payload...) // chunks made by hand
			continue
		case i == len(names)-1 && len(p.Payload) > 0:
			body = p.Payload
		case kind == 1 || kind == 2:
			body = []byte{1, 2, 3, 4, 0, 0, 255, 255, 0, 10, 0, 10, 0, 0, 3, 232}
		case kind == 3:
			body = []byte{0, 0, 3, 232, 0, 0, 255, 255, 0, 0, 0, 0}
		case kind == 7:
			body = []byte{0, 0, 3, 232}
		}
		b = append(b, chunkType(name), 0)
		b = binary.BigEndian.AppendUint16(b, uint16(4+len(body)))
		b = append(b, body...)
		b = append(b, make([]byte, -len(body)&3)...)
	}
	binary.LittleEndian.PutUint32(b[8:], crc32c(b))
	return b
}

func chunkType(name string) uint8 {
	if i := slices.Index(chunkNames, name); i >= 0 {
		return uint8(i)
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil && name != "" {
		panic(fmt.Sprintf("packettest: chunk %q", name))
	}
	return uint8(n)
}

func describeSCTP(p []byte, whole bool) string {
	out := fmt.Sprintf(" SCTP %d>%d ", binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]))
	if !whole {
		return out + "(truncated)"
	}
	var names []string
	for b := p[12:]; len(b) >= 4; {
		if int(b[0]) < len(chunkNames) {
			names = append(names, chunkNames[b[0]])
		} else {
			names = append(names, strconv.Itoa(int(b[0])))
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < 4 {
			break
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return out + strings.Join(names, "+") + badIf(binary.LittleEndian.Uint32(p[8:]) != crc32c(p))
}

// crc32c is the CRC of an SCTP packet, its own field taken for 0, bit by bit as
// RFC 9260 appendix A has it: nothing is shared with the code under test.
func crc32c(p []byte) uint32 {
	crc := ^uint32(0)
	for i, c := range p {
		if i >= 8 && i < 12 {
			c = 0
		}
		crc ^= uint32(c)
		for range 8 {
			crc = crc>>1 ^ crc&1*0x82f63b78
		}
	}
	return ^crc
}
