package packettest

import (
	"net/netip"
	"time"
)

// Synthetic makes the packets of many TCP connections to one service, as they
// pass a director on both sides: handshake, data in frames of 64 to 1500 bytes,
// an end. Packets come every millisecond; at each time [SyntheticConns] connections
// live. They are the same for everybody.
type Synthetic struct {
	n int // packets made
}

// SyntheticRules are the rules that the packets of Synthetic go by.
const SyntheticRules = `-A -t 10.10.1.1:80 -s rr
-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m
-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m
-a -t 10.10.1.1:80 -r 10.20.0.13:8080 -m
-a -t 10.10.1.1:80 -r 10.20.0.14:8080 -m
`

// SyntheticConns is how many connections of Synthetic live at a time.
const SyntheticConns = 1024

const syntheticLife = 20 // packets of a connection

// Next returns the next packet: its time since the first one, its frame, and
// whether a server has sent it.
func (s *Synthetic) Next() (at time.Duration, frame []byte, fromServer bool) {
	conn, step := s.n/(SyntheticConns*syntheticLife)*SyntheticConns+s.n%SyntheticConns, s.n/SyntheticConns%syntheticLife
	at = time.Duration(s.n) * time.Millisecond
	s.n++

	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(conn >> 8), byte(conn)}), uint16(1024+conn>>16))
	// rr begins with the server that was added last.
	server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, 0, byte(14 - conn%4)}), 8080)
	p := Packet{Proto: 6, DF: true, Src: client, Dst: netip.MustParseAddrPort("10.10.1.1:80"), Seq: uint32(step) << 16, Ack: uint32(step)}
	sizes := []int{10, 200, 1446, 60, 700, 1446}
	switch step {
	case 0:
		p.Flags, p.Ack = "S", 0
	case 1:
		p.Flags, fromServer = "SA", true
	case 2:
		p.Flags = "A"
	case 17:
		p.Flags = "FA"
	case 18:
		p.Flags, fromServer = "FA", true
	case 19:
		p.Flags = "A"
	default:
		p.Flags, fromServer = "PA", step%2 == 0
		p.Payload = make([]byte, sizes[step%len(sizes)])
	}
	if fromServer {
		p.Src, p.Dst = server, client
	}
	p.SrcMAC, p.DstMAC = NeighbourMAC(p.Src.Addr()), [6]byte{2, 0, 0, 0, 1, 1}
	return at, p.Frame(), fromServer
}
