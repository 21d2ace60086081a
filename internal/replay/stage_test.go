package replay

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
)

// stage is where a scene is played and captured, on both sides of a director.
// Its director forwards nothing: what servers get and say is in the scene.
type stage struct {
	tb   testing.TB
	now  time.Duration
	side [2][]pcapfile.Packet
	id   uint16
}

// sceneStart is the time of every scene's first packet.
const sceneStart = 1_750_000_000_000_000_000

// put has a frame captured on a side, and lets a little time pass.
func (s *stage) put(side Side, frame []byte) {
	s.side[side] = append(s.side[side], pcapfile.Packet{
		Data: frame, WireLen: uint32(len(frame)), Time: sceneStart + int64(s.now), LinkType: pcapfile.Ethernet,
	})
	s.now += 137 * time.Microsecond
}

func (s *stage) wait(d time.Duration) { s.now += d }

// from has a packet captured that its source sends to the director.
func (s *stage) from(side Side, p packettest.Packet) {
	p.SrcMAC, p.DstMAC = packettest.NeighbourMAC(p.Src.Addr()), packettest.MAC("02:00:00:00:01:01")
	if s.id++; p.ID == 0 {
		p.ID = s.id
	}
	s.put(side, p.Frame())
}

func (s *stage) client(p packettest.Packet) { s.from(VIPSide, p) }
func (s *stage) server(p packettest.Packet) { s.from(DIPSide, p) }

// file returns a side's capture.
func (s *stage) file(side Side) []byte {
	var b bytes.Buffer
	w := pcapfile.NewWriter(&b, pcapfile.Ethernet)
	for i := range s.side[side] {
		if err := w.Write(&s.side[side][i]); err != nil {
			s.tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		s.tb.Fatal(err)
	}
	return b.Bytes()
}

// talk is a TCP connection on a stage. The addresses are as in RFC 5737's
// documents: 198.51.100.0/24 are clients, 192.0.2.0/24 VIPs, 10.20.0.0/24
// servers.
type talk struct {
	s                   *stage
	client, vip, server netip.AddrPort
	cseq, sseq          uint32
}

func ap(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// talk opens a connection that the director is expected to give to server.
func (s *stage) talk(client, vip, server string) *talk {
	t := &talk{s: s, client: ap(client), vip: ap(vip), server: ap(server), cseq: 1000, sseq: 900_000}
	t.up("S", nil)
	t.down("SA", nil)
	t.up("A", nil)
	return t
}

// up sends a segment of the client's, down one of the server's.
func (t *talk) up(flags string, payload []byte) {
	p := packettest.Packet{Proto: 6, DF: true, Src: t.client, Dst: t.vip, Flags: flags, Seq: t.cseq, Ack: t.sseq, Payload: payload}
	if flags == "S" {
		p.Ack, p.TCPOptions = 0, []byte{2, 4, 5, 0xb4}
	}
	t.s.client(p)
	t.cseq += length(flags, payload)
}

func (t *talk) down(flags string, payload []byte) {
	p := packettest.Packet{Proto: 6, DF: true, Src: t.server, Dst: t.client, Flags: flags, Seq: t.sseq, Ack: t.cseq, Payload: payload}
	if flags == "SA" {
		p.TCPOptions = []byte{2, 4, 5, 0xb4}
	}
	t.s.server(p)
	t.sseq += length(flags, payload)
}

func length(flags string, payload []byte) uint32 {
	n := uint32(len(payload))
	for _, f := range flags {
		if f == 'S' || f == 'F' {
			n++
		}
	}
	return n
}

// ask and answer send text in segments, and have it acknowledged.
func (t *talk) ask(text string) {
	for b := range chunks(text) {
		t.up("PA", b)
	}
	t.down("A", nil)
}

func (t *talk) answer(text string) {
	for b := range chunks(text) {
		t.down("PA", b)
	}
	t.up("A", nil)
}

func chunks(text string) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := min(len(text), 1448)
			if !yield([]byte(text[:n])) {
				return
			}
			text = text[n:]
		}
	}
}

// close ends the connection from the client's side.
func (t *talk) close() {
	t.up("FA", nil)
	t.down("FA", nil)
	t.up("A", nil)
}

// datagram sends a UDP datagram of a client, reply one of a server.
func (s *stage) datagram(client, vip string, payload []byte) {
	s.client(packettest.Packet{Proto: 17, Src: ap(client), Dst: ap(vip), Payload: payload})
}

func (s *stage) reply(server, client string, payload []byte) {
	s.server(packettest.Packet{Proto: 17, Src: ap(server), Dst: ap(client), Payload: payload})
}
