package replay

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/packettest"
)

// TestPartial: a capture from a machine whose network card computes the checksums
// replays as one from the wire.
func TestPartial(t *testing.T) {
	for _, c := range scenes() {
		if c.name == "hostile" { // a wrong checksum would become right
			continue
		}
		s := c.perform(t)
		want, wantSent := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), nil)
		changed := 0
		for _, side := range s.side {
			for i := range side {
				f := bytes.Clone(side[i].Data)
				if be.Uint16(f[12:]) == 0x86dd && (f[20] == 6 || f[20] == 17) {
					side[i].Data = packettest.Partial(f[:54+int(be.Uint16(f[18:]))], 0).Data
					changed++
					continue
				}
				if be.Uint16(f[12:]) != 0x0800 || f[23] != 6 && f[23] != 17 && f[23] != 132 || be.Uint16(f[20:])&0x3fff != 0 || f[23] == 17 && len(f) < 42 {
					continue
				}
				side[i].Data = packettest.Partial(f[:14+int(be.Uint16(f[16:]))], 0).Data
				changed++
			}
		}
		got, gotSent := runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), nil)
		if changed == 0 && c.name != "fragments" && c.name != "ipv6-fragments" {
			t.Errorf("%s has no packet to change", c.name)
		}
		got.Packets.SentBytes = want.Packets.SentBytes // Ethernet padding
		if diff := cmp.Diff(tables(t, want), tables(t, got)); diff != "" {
			t.Errorf("%s: tables (-complete +partial):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(wantSent.lines, gotSent.lines); diff != "" && c.name != "strangers" && c.name != "ipv6-strangers" && c.name != "no-server" && c.name != "full" {
			t.Errorf("%s: sent (-complete +partial):\n%s", c.name, diff)
		}
	}
}
