package replay

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/pcapfile"
)

// packaging is a kind of link that the packets of a scene can be captured on.
type packaging struct {
	name string
	link pcapfile.LinkType
	ip   bool // IP only: the frames of a scene that are none are left out
	wrap func(frame []byte, outgoing bool) []byte
}

var be = binary.BigEndian

var packagings = []packaging{
	{"vlan", pcapfile.Ethernet, false, func(f []byte, _ bool) []byte {
		return slices.Concat(f[:12], []byte{0x81, 0, 0x60, 5}, f[12:])
	}},
	{"qinq", pcapfile.Ethernet, false, func(f []byte, _ bool) []byte {
		return slices.Concat(f[:12], []byte{0x88, 0xa8, 0, 7, 0x81, 0, 0, 5}, f[12:])
	}},
	{"cooked", pcapfile.LinuxSLL, false, func(f []byte, outgoing bool) []byte {
		h := []byte{0, class(f, outgoing), 0, 1, 0, 6}
		return slices.Concat(h, f[6:12], []byte{0, 0}, f[12:])
	}},
	{"cooked2", pcapfile.LinuxSLL2, false, func(f []byte, outgoing bool) []byte {
		return slices.Concat(f[12:14], []byte{0, 0, 0, 0, 0, 3, 0, 1, class(f, outgoing), 6}, f[6:12], []byte{0, 0}, f[14:])
	}},
	{"raw", pcapfile.Raw, true, func(f []byte, _ bool) []byte { return f[14:] }},
	{"rawBSD", pcapfile.RawBSD, true, func(f []byte, _ bool) []byte { return f[14:] }},
	{"ipv4", pcapfile.IPv4, true, func(f []byte, _ bool) []byte { return f[14:] }},
	{"null", pcapfile.Null, true, func(f []byte, _ bool) []byte { return append([]byte{family(f), 0, 0, 0}, f[14:]...) }},
	{"loop", pcapfile.Loop, true, func(f []byte, _ bool) []byte { return append([]byte{0, 0, 0, family(f)}, f[14:]...) }},
}

// family is what BSD systems call a frame's family.
func family(f []byte) byte {
	if f[14]>>4 == 6 {
		return 30
	}
	return 2
}

// class is what the kernel says of a frame in a cooked header.
func class(f []byte, outgoing bool) byte {
	switch {
	case outgoing:
		return 4
	case bytes.HasPrefix(f, []byte{255, 255, 255, 255, 255, 255}):
		return 1
	case f[0]&1 != 0:
		return 2
	}
	return 0
}

// packaged returns a side's capture in another packaging, pcapng or not.
func (k *packaging) packaged(s *stage, side Side, ng bool) []byte {
	var b bytes.Buffer
	w := pcapfile.NewWriter(&b, k.link)
	if ng {
		b.Reset()
		w = pcapfile.NewNGWriter(&b, k.link, "eth0")
	}
	for _, p := range s.side[side] {
		if k.ip && (len(p.Data) < 14 || be.Uint16(p.Data[12:]) != 0x0800 && be.Uint16(p.Data[12:]) != 0x86dd) {
			continue
		}
		// A capture of the other machine's point of view says outgoing where
		// ours does not: the sides of a scene must not care.
		p.Data = k.wrap(p.Data, true)
		p.WireLen = uint32(len(p.Data))
		w.Write(&p, "a comment")
	}
	w.Flush()
	return b.Bytes()
}

// runFiles replays captures of both sides and returns what was sent.
func runFiles(t testing.TB, c *scene, vip, dip []byte, change func(*Config)) (*Result, sent) {
	t.Helper()
	cfg := Config{Rules: c.parsed(t), VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN, FTPPorts: []uint16{21}}
	for side, file := range [][]byte{vip, dip} {
		in, err := NewInput(Side(side).String()+".pcap", Side(side), bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Inputs = append(cfg.Inputs, in)
	}
	var out sent
	cfg.Sink = &out
	if change != nil {
		change(&cfg)
	}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, out
}

// TestPackagings: on whatever link a scene was captured, the director sends the
// same packets, and the same happens to the connections.
func TestPackagings(t *testing.T) {
	for _, c := range scenes() {
		if c.name == "hostile" || c.name == "strangers" || c.name == "ipv6-strangers" { // their frames are no packets
			continue
		}
		s := c.perform(t)
		want, wantSent := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), nil)
		for i, k := range packagings {
			if k.link == pcapfile.IPv4 && strings.HasPrefix(c.name, "ipv6") {
				continue
			}
			t.Run(c.name+"/"+k.name, func(t *testing.T) {
				ng := i%2 == 0
				got, gotSent := runFiles(t, &c, k.packaged(s, VIPSide, ng), k.packaged(s, DIPSide, ng), nil)
				if diff := cmp.Diff(wantSent.lines, gotSent.lines); diff != "" {
					t.Errorf("sent (-Ethernet +%s):\n%s", k.name, diff)
				}
				if diff := cmp.Diff(tables(t, want), tables(t, got)); diff != "" {
					t.Errorf("tables (-Ethernet +%s):\n%s", k.name, diff)
				}
			})
		}
	}
}

// tables returns a result as text without what tells of files.
func tables(t testing.TB, r *Result) string {
	t.Helper()
	c := *r
	c.Inputs, c.Packets.Bytes, c.Packets.Short = nil, 0, 0
	text, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestVLAN: with the number of a VLAN only its packets are played.
func TestVLAN(t *testing.T) {
	c := &shapes[0]
	s := c.perform(t)
	tagged, plain := packagings[0].packaged(s, VIPSide, false), s.file(VIPSide)
	for _, tt := range []struct {
		file []byte
		vlan int
		want bool
	}{
		{tagged, AnyVLAN, true}, {tagged, 5, true}, {tagged, 6, false}, {tagged, 0, false},
		{plain, AnyVLAN, true}, {plain, 0, true}, {plain, 5, false},
		{packagings[1].packaged(s, VIPSide, false), 7, true}, // the outer tag counts
	} {
		r, _ := runFiles(t, c, tt.file, s.file(DIPSide), func(cfg *Config) { cfg.VIPVLAN = tt.vlan })
		if got := r.Total > 0; got != tt.want {
			t.Errorf("--vip-vlan %d: connections are made is %v, want %v; %v", tt.vlan, got, tt.want, r.Verdicts)
		}
	}
}

// TestOtherLinks: a capture of a link that natlb does not know is refused by
// name.
func TestOtherLinks(t *testing.T) {
	var b bytes.Buffer
	w := pcapfile.NewWriter(&b, 127)
	w.Write(&pcapfile.Packet{Data: []byte("radiotap")})
	w.Flush()
	if _, err := NewInput("wifi.pcap", VIPSide, &b); err == nil || !strings.Contains(err.Error(), "link type 127") {
		t.Errorf("%v, want a refusal of link type 127", err)
	}
}
