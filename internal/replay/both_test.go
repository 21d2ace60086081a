package replay

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	godiff "github.com/google/go-cmp/cmp"

	"natlb/internal/pcapfile"
)

// TestBoth: a capture on all interfaces of the director itself, with what it has
// sent among the rest, replays as the two sides do.
func TestBoth(t *testing.T) {
	for _, c := range scenes() {
		s := c.perform(t)
		want, wantSent := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), nil)
		all := slices.Concat(s.side[VIPSide], s.side[DIPSide])
		theirs := len(all)
		runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), func(cfg *Config) {
			cfg.Sink = sinkFunc(func(_ uint8, p *pcapfile.Packet) error {
				out := *p
				out.Data = bytes.Clone(p.Data)
				all = append(all, out)
				return nil
			})
		})
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].Time, all[b].Time) })

		cooked := packagings[slices.IndexFunc(packagings, func(k packaging) bool { return k.name == "cooked2" })]
		flags := packaging{link: pcapfile.Ethernet, wrap: func(f []byte, _ bool) []byte { return f }}
		for name, k := range map[string]*packaging{"cooked": &cooked, "pcapng's flags": &flags, "by address": nil} {
			switch {
			case c.name == "hostile": // its frames are no packets, and some claim to be the director's
				continue
			case c.name == "late": // one capture has one order
				continue
			case k == nil && (c.name == "direct-routing" || c.name == "ipv6-direct-routing"): // what goes on looks like what came
				continue
			case k == nil && (c.name == "strangers" || c.name == "ipv6-strangers" || c.name == "http"): // a server's own traffic is there twice
				continue
			}
			var b bytes.Buffer
			link := pcapfile.Ethernet
			if k != nil {
				link = k.link
			}
			w := pcapfile.NewNGWriter(&b, link, "any")
			for _, i := range order {
				p := all[i]
				if k != nil {
					p.Data = k.wrap(p.Data, i >= theirs)
					p.WireLen = uint32(len(p.Data))
				}
				if k == &flags {
					if p.Direction = pcapfile.Inbound; i >= theirs {
						p.Direction = pcapfile.Outbound
					}
				}
				w.Write(&p)
			}
			w.Flush()
			in, err := NewInput("any.pcapng", BothSides, &b)
			if err != nil {
				t.Fatal(err)
			}
			var got sent
			r, err := Run(t.Context(), Config{
				Rules: c.parsed(t), Inputs: []*Input{in}, Sink: &got, VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN, FTPPorts: []uint16{21},
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Packets.Own != want.Packets.Sent {
				t.Errorf("%s, %s: %d packets are taken as the director's own, want %d", c.name, name, r.Packets.Own, want.Packets.Sent)
			}
			if diff := godiff.Diff(wantSent.lines, got.lines); diff != "" {
				t.Errorf("%s, %s: sent (-two captures +one):\n%s", c.name, name, diff)
			}
			r.Packets.Own, r.Packets.Read = 0, r.Packets.Received
			if diff := godiff.Diff(tables(t, want), tables(t, r)); diff != "" {
				t.Errorf("%s, %s: tables (-two captures +one):\n%s", c.name, name, diff)
			}
		}
	}
}
