package dataplane

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"natlb/rewrite"
)

// localHost has these addresses, and knows nothing else.
type localHost struct {
	noHost
	local map[netip.Addr]bool
}

func (h localHost) IsLocal(a uint32) bool         { return h.local[Addr4(a)] }
func (h localHost) IsLocal6(a rewrite.Addr6) bool { return h.local[a.Addr()] }

// TestRolesMatchModel changes services, servers, marks and the host, of both
// families, and asks for the roles of every address there is.
func TestRolesMatchModel(t *testing.T) {
	var all []netip.Addr
	for i := range byte(12) {
		all = append(all,
			netip.AddrFrom4([4]byte{10, 0, 0, i}),
			netip.AddrFrom16([16]byte{0: 0xfd, 7: i % 3, 15: i}),
			netip.AddrFrom16([16]byte{0: 0xfd, 3: i, 15: i})) // all with one fold
	}
	rapid.Check(t, func(t *rapid.T) {
		b := newRoleBook()
		h := localHost{local: map[netip.Addr]bool{}}
		services, marked := map[netip.Addr]int{}, map[netip.Addr]bool{}
		var owned, servers []netip.Addr
		stick := func(list *[]netip.Addr, a netip.Addr) {
			if !slices.Contains(*list, a) {
				*list = append(*list, a)
			}
		}
		one := rapid.SampledFrom(all)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			a := one.Draw(t, "address")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				b.addService(a)
				services[a]++
				stick(&owned, a)
			case 1:
				if services[a] > 0 {
					b.dropService(a)
					services[a]--
				}
			case 2:
				b.addServer(a)
				stick(&servers, a)
			case 3:
				vips := rapid.SliceOfN(one, 0, 3).Draw(t, "marked")
				b.setMarked(vips)
				clear(marked)
				for _, vip := range vips {
					marked[vip] = true
				}
			case 4:
				h.local[a] = !h.local[a]
				b.hostChanged()
			}
			if rapid.Bool().Draw(t, "look later") {
				continue
			}
			table := b.current(h, func() bool { return false })
			for _, a := range all {
				var want role
				if services[a] > 0 || marked[a] {
					want |= roleVIP
				}
				if (slices.Contains(owned, a) || marked[a]) && !h.local[a] {
					want |= roleOwned
				}
				if slices.Contains(servers, a) {
					want |= roleServer
				}
				got := role(0)
				if a.Is4() {
					got = table.of(Number4(a))
				} else {
					got = table.of6(rewrite.Addr6Of(a))
				}
				if got != want {
					t.Fatalf("%v has roles %b, want %b", a, got, want)
				}
			}
			if !slices.Equal(b.owned, owned) || !slices.Equal(b.servers, servers) {
				t.Fatalf("owned %v and servers %v, want %v and %v", b.owned, b.servers, owned, servers)
			}
		}
	})
}

// TestSpread6 looks at what operators number: hosts in a subnet, and subnets.
func TestSpread6(t *testing.T) {
	for name, addr := range map[string]func(i uint64) rewrite.Addr6{
		"hosts":           func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10 << 48, Lo: i} },
		"subnets":         func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10<<48 + i, Lo: 1} },
		"sites":           func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10<<48 + i<<16, Lo: 1} },
		"hosts like them": func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10<<48 + i, Lo: i} },
		"high hosts":      func(i uint64) rewrite.Addr6 { return rewrite.Addr6{Hi: 0xfd10 << 48, Lo: i << 48} },
	} {
		m, parts := map[rewrite.Addr6]role{}, [roleParts]int{}
		for i := range uint64(4096) {
			m[addr(i)] = roleServer
			parts[spread6(addr(i))&(roleParts-1)]++
		}
		p := newRolePart(m, spread6)
		longest, run := 0, 0
		for _, r := range p.roles {
			if run++; r == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		if most := slices.Max(parts[:]); most > 160 || longest > 100 {
			t.Errorf("%s: %d of 4096 addresses in one part of 64, %d places in a row are taken", name, most, longest)
		}
	}
}
