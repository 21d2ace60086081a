package replay

import (
	"bytes"
	"strings"
	"testing"

	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
)

// synthetic returns captures of n packets, and the rules for them.
func synthetic(tb testing.TB, n int) (sides [2][]byte, rules *ipvsadm.Rules) {
	tb.Helper()
	var files [2]bytes.Buffer
	writers := [2]*pcapfile.Writer{pcapfile.NewWriter(&files[0], pcapfile.Ethernet), pcapfile.NewWriter(&files[1], pcapfile.Ethernet)}
	var s packettest.Synthetic
	for range n {
		at, frame, fromServer := s.Next()
		w := writers[0]
		if fromServer {
			w = writers[1]
		}
		if err := w.Write(&pcapfile.Packet{Data: frame, Time: int64(at)}); err != nil {
			tb.Fatal(err)
		}
	}
	for i, w := range writers {
		if err := w.Flush(); err != nil {
			tb.Fatal(err)
		}
		sides[i] = files[i].Bytes()
	}
	rules, err := ipvsadm.ParseRules(strings.NewReader(packettest.SyntheticRules), "rules")
	if err != nil {
		tb.Fatal(err)
	}
	return sides, rules
}

func BenchmarkReplay(b *testing.B) {
	const packets = 100 * packettest.SyntheticConns
	sides, rules := synthetic(b, packets)
	b.ReportAllocs()
	for b.Loop() {
		cfg := Config{Rules: rules, VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN}
		for i, side := range sides {
			in, err := NewInput("synthetic", Side(i), bytes.NewReader(side))
			if err != nil {
				b.Fatal(err)
			}
			cfg.Inputs = append(cfg.Inputs, in)
		}
		r, err := Run(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		if len(r.Verdicts) != 1 || r.Verdicts[0] != (VerdictCount{"forward", packets}) {
			b.Fatalf("not all packets are forwarded: %v", r.Verdicts)
		}
	}
	b.ReportMetric(float64(packets)*float64(b.N)/b.Elapsed().Seconds(), "pkts/s")
}
