package classify

import (
	"net/netip"
	"slices"
	"testing"
)

// TestFamiliesAreChains: a rule of one family is neither seen nor touched by
// commands and packets of the other.
func TestFamiliesAreChains(t *testing.T) {
	s := apply(t, Ruleset{},
		"-A PREROUTING -p tcp --dport 80 -j MARK --set-mark 4",
		"-6 -A PREROUTING -d 2001:db8::1 -p tcp --dport 80 -j MARK --set-mark 6",
		"ip6tables -t mangle -A PREROUTING -d 2001:db8:1::/48 -j MARK --set-mark 7",
		"-4 -I PREROUTING -d 10.0.0.1 -j ACCEPT")
	const four = "-P PREROUTING ACCEPT\n-A PREROUTING -d 10.0.0.1/32 -j ACCEPT\n-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x4/0xffffffff\n"
	const six = "-P PREROUTING ACCEPT\n-A PREROUTING -d 2001:db8::1/128 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x6/0xffffffff\n" +
		"-A PREROUTING -d 2001:db8:1::/48 -j MARK --set-xmark 0x7/0xffffffff\n"
	if got := s.Text(parse(t, "-S")); got != four {
		t.Errorf("-S =\n%s", got)
	}
	if got := s.Text(parse(t, "ip6tables -S")); got != six {
		t.Errorf("-6 -S =\n%s", got)
	}
	if s.Len() != 4 {
		t.Errorf("Len() = %d, want 4", s.Len())
	}
	words := func(text string) Addr6 {
		a, ok := words6(text)
		if !ok {
			t.Fatal(text)
		}
		return a
	}
	p := s.Compile()
	for _, tt := range []struct {
		pk   Packet
		want uint32
	}{
		{Packet{Dst: 0x0a000002, Proto: 6, DstPort: 80}, 4},
		{Packet{Dst: 0x0a000001, Proto: 6, DstPort: 80}, 0},
		{Packet{V6: true, Dst6: words("2001:db8::1"), Proto: 6, DstPort: 80}, 6},
		{Packet{V6: true, Dst6: words("2001:db8::1"), Proto: 17, DstPort: 80}, 0},
		{Packet{V6: true, Dst6: words("2001:db8::2"), Proto: 6, DstPort: 80}, 0},
		{Packet{V6: true, Dst6: words("2001:db8:1:ffff::9"), Proto: 50}, 7},
		{Packet{V6: true, Dst6: words("2001:db8:2::9"), Proto: 50}, 0},
	} {
		if got := p.Mark(&tt.pk); got != tt.want {
			t.Errorf("Mark(%+v) = %d, want %d", tt.pk, got, tt.want)
		}
	}
	want := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("2001:db8::1/128"),
	}
	slices.SortFunc(want, netip.Prefix.Compare)
	if got := p.VIPs(); !slices.Equal(got, want) {
		t.Errorf("VIPs() = %v, want %v", got, want)
	}
	if got := p.VIPsOf(7); len(got) != 1 || got[0].Bits() != 48 {
		t.Errorf("VIPsOf(7) = %v", got)
	}
	if got := p.Targets(); len(got) != 3 || !got[1].Has(6, netip.MustParseAddr("2001:db8::1"), 80) || got[1].Has(6, netip.MustParseAddr("10.0.0.1"), 80) {
		t.Errorf("Targets() = %+v", got)
	}
	everywhere := apply(t, Ruleset{}, "-6 -A PREROUTING ! -d 2001:db8::1 -j MARK --set-mark 1").Compile()
	if got := everywhere.VIPs(); len(got) != 1 || got[0] != netip.MustParsePrefix("::/0") {
		t.Errorf("VIPs() of a negation = %v, want ::/0", got)
	}

	flushed := apply(t, s, "-6 -F")
	if got := flushed.Text(parse(t, "-S")); got != four || flushed.Len() != 2 {
		t.Errorf("after -6 -F the other chain is\n%s", got)
	}
	flushed = apply(t, s, "-F")
	if got := flushed.Text(parse(t, "-6 -S")); got != six || flushed.Len() != 2 {
		t.Errorf("after -F the other chain is\n%s", got)
	}
}

func BenchmarkMark6(b *testing.B) {
	s := apply(b, Ruleset{}, "-6 -A PREROUTING -d 2001:db8::1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1",
		"-6 -A PREROUTING -d 2001:db8:1::/48 -p tcp -j MARK --set-mark 2")
	p := s.Compile()
	a, _ := words6("2001:db8::1")
	pk := Packet{V6: true, Dst6: a, Proto: 6, DstPort: 80}
	b.ReportAllocs()
	for b.Loop() {
		if p.Mark(&pk) != 1 {
			b.Fatal("no mark")
		}
	}
}
