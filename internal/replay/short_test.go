package replay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/pcapfile"
)

// cut returns a side's capture with at most n bytes of each packet.
func (s *stage) cut(side Side, n int) []byte {
	c := &stage{tb: s.tb}
	for _, p := range s.side[side] {
		p.Data = p.Data[:min(n, len(p.Data))]
		c.side[side] = append(c.side[side], p)
	}
	return c.file(side)
}

// TestShort: of a capture with a snap length that leaves the headers whole, what
// the director decides and counts is the same, and it sends the same bytes, as far
// as they were captured.
func TestShort(t *testing.T) {
	for _, c := range scenes() {
		snap := 14 + 20 + 24 // Ethernet, IPv4, TCP with an MSS
		if strings.HasPrefix(c.name, "ipv6") {
			snap += 20
		}
		switch c.name {
		case "ftp", "hostile", "icmp-errors", "ipv6-icmp-errors", "ipv6-strangers": // the helper reads payload; neighbour discovery is longer; see below for the others
			continue
		}
		s := c.perform(t)
		var want, got [2][][]byte
		keep := func(into *[2][][]byte) Sink {
			return sinkFunc(func(link uint8, p *pcapfile.Packet) error {
				if c.name == "http" && into == &got && len(p.Data) > snap {
					t.Errorf("%d bytes are sent of %d captured", len(p.Data), snap)
				}
				into[link] = append(into[link], bytes.Clone(p.Data[:min(snap, len(p.Data))]), []byte{byte(p.WireLen >> 8), byte(p.WireLen)})
				return nil
			})
		}
		whole, _ := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), func(cfg *Config) { cfg.Sink = keep(&want) })
		short, _ := runFiles(t, &c, s.cut(VIPSide, snap), s.cut(DIPSide, snap), func(cfg *Config) { cfg.Sink = keep(&got) })
		switch c.name {
		case "fragments", "dns", "strangers", "diameter", "ipv6-fragments", "ipv6-tunnels": // pieces and quotations hold zeros, a checksum covers them
		default:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: sent (-whole +short):\n%s", c.name, diff)
			}
		}
		if diff := cmp.Diff(tables(t, whole), tables(t, short)); diff != "" {
			t.Errorf("%s: tables (-whole +short):\n%s", c.name, diff)
		}
		if big := hasLonger(s, snap); (short.Packets.Short > 0) != big || short.Packets.Lost != 0 {
			t.Errorf("%s: %d packets are short, %d lost; there are some is %v", c.name, short.Packets.Short, short.Packets.Lost, big)
		}
	}
}

func hasLonger(s *stage, n int) bool {
	for _, side := range s.side {
		for _, p := range side {
			if len(p.Data) > n {
				return true
			}
		}
	}
	return false
}

// TestShorterThanHeaders: a packet that has lost its ports is dropped as cut off,
// and makes no connection of ports that are not its own.
func TestShorterThanHeaders(t *testing.T) {
	c := &shapes[0]
	s := c.perform(t)
	for n := range 14 + 20 + 20 {
		r, out := runFiles(t, c, s.cut(VIPSide, n), s.cut(DIPSide, n), nil)
		if r.Total != 0 || len(out.lines[0])+len(out.lines[1]) != 0 || r.Packets.Lost != r.Packets.Read || r.Packets.Short != r.Packets.Read {
			t.Fatalf("snap length %d: %d connections, %d packets short and %d lost of %d", n, r.Total, r.Packets.Short, r.Packets.Lost, r.Packets.Read)
		}
		want := VerdictCount{"drop-truncated", r.Packets.Received}
		if len(r.Verdicts) != 1 || r.Verdicts[0] != want {
			t.Fatalf("snap length %d: %v, want %v", n, r.Verdicts, want)
		}
	}
}

// TestShortControl: an FTP session whose commands are cut off is followed by its
// headers; an ICMP error that is cut off behind what it quotes goes on.
func TestShortControl(t *testing.T) {
	for _, c := range []struct {
		scene *scene
		snap  int
		want  uint64
	}{{&shapes[4], 54, 40}, {&corners[1], 14 + 20 + 36, 9}} {
		s := c.scene.perform(t)
		r, _ := runFiles(t, c.scene, s.cut(VIPSide, c.snap), s.cut(DIPSide, c.snap), nil)
		if r.Packets.Short == 0 || r.Verdicts[0].Name != "forward" || r.Verdicts[0].Count < c.want {
			t.Errorf("%s: %d packets are short; %v", c.scene.name, r.Packets.Short, r.Verdicts)
		}
	}
}
