package sources

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		line string
		want string // the ranges of a set with the line's addresses, or the fault
	}{
		{"add 10.20.0.240", "10.20.0.240"},
		{"add 10.20.0.240-10.20.0.243", "10.20.0.240-10.20.0.243"},
		{"add 10.20.0.240/30", "10.20.0.240-10.20.0.243"},
		{"add 10.20.0.240/30 10.20.0.244 10.20.0.1", "10.20.0.1 10.20.0.240-10.20.0.244"},
		{"add fd20::f0/126 10.20.0.1", "10.20.0.1 fd20::f0-fd20::f3"},
		{"add 10.20.0.255-10.20.1.0", "10.20.0.255-10.20.1.0"},
		{"delete fd20::1", "fd20::1"},
		{"list", ""},
		{"", "source takes add, delete or list"},
		{"remove 10.0.0.1", `source takes add, delete or list, not "remove"`},
		{"add", "source add takes addresses: ADDRESS, ADDRESS-ADDRESS or ADDRESS/BITS"},
		{"list 10.0.0.1", `source list takes no "10.0.0.1"`},
		{"add 10.0.0.0/8", "10.0.0.0/8: more than 1024 addresses"},
		{"add fd20::/64", "fd20::/64: more than 1024 addresses"},
		{"add 10.0.0.1-255.0.0.1", "10.0.0.1-255.0.0.1: more than 1024 addresses"},
		{"add 10.0.0.2-10.0.0.1", "10.0.0.2-10.0.0.1 is no range of addresses: the first comes first, and both are of one family"},
		{"add 10.0.0.2-fd20::1", "10.0.0.2-fd20::1 is no range of addresses: the first comes first, and both are of one family"},
		{"add 10.0.0.5/30", "10.0.0.5/30 is no network, 10.0.0.4/30 is"},
		{"add 10.0.0.5/33", `"10.0.0.5/33" is no network`},
		{"add server", `"server" is no address`},
		{"add 10.0.0.1-", `"" is no address`},
		{"add ::ffff:10.0.0.1", "::ffff:10.0.0.1: an address comes without zone, and one of IPv4 as itself"},
		{"add fe80::1%eth0", "fe80::1%eth0: an address comes without zone, and one of IPv4 as itself"},
		{"add fe80::1", "fe80::1 is no address that servers can answer to"},
		{"add 127.0.0.1", "127.0.0.1 is no address that servers can answer to"},
		{"add 0.0.0.0", "0.0.0.0 is no address that servers can answer to"},
		{"add 224.0.0.0/30", "224.0.0.0 is no address that servers can answer to"},
		{"add 255.255.255.255", "255.255.255.255 is no address that servers can answer to"},
	} {
		c, err := Parse(strings.Fields(tt.line))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			s, _ := Set{}.Apply(Command{Verb: Add, Addrs: c.Addrs})
			got = strings.Join(s.Ranges(), " ")
		}
		if got != tt.want {
			t.Errorf("Parse(%q) = %q, want %q", tt.line, got, tt.want)
		}
	}
}

// TestSet: a set is what a map of addresses says that it is, and its words read back
// as the same set.
func TestSet(t *testing.T) {
	near := rapid.Custom(func(t *rapid.T) netip.Addr {
		b := rapid.ByteRange(1, 12).Draw(t, "address")
		if rapid.Bool().Draw(t, "IPv6") {
			return netip.AddrFrom16([16]byte{0: 0xfd, 15: b})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, b})
	})
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		model := map[netip.Addr]bool{}
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			c := Command{Verb: rapid.SampledFrom([]Verb{Add, Delete}).Draw(t, "verb"), Addrs: rapid.SliceOfN(near, 1, 4).Draw(t, "addresses")}
			missing := slices.ContainsFunc(c.Addrs, func(a netip.Addr) bool { return !model[a] })
			before := slices.Clone(s.Addrs())
			after, err := s.Apply(c)
			if (err != nil) != (c.Verb == Delete && missing) {
				t.Fatalf("Apply(%v) to %v = %v", c, s, err)
			}
			if !slices.Equal(before, s.Addrs()) {
				t.Fatalf("Apply has changed the set itself: %v was %v", s, before)
			}
			if err == nil {
				for _, a := range c.Addrs {
					if model[a] = true; c.Verb == Delete {
						delete(model, a)
					}
				}
			}
			s = after
			if len(s.Addrs()) != len(model) || slices.ContainsFunc(s.Addrs(), func(a netip.Addr) bool { return !model[a] }) {
				t.Fatalf("set %v, want %v", s, model)
			}
			again, err := Of(s.Ranges())
			if err != nil || !slices.Equal(again.Addrs(), s.Addrs()) {
				t.Fatalf("Of(%q) = %v, %v, want %v", s.Ranges(), again, err, s)
			}
		}
	})
}
