package dataplane

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"natlb/ipvs"
	"natlb/rewrite"
)

// TestServicesOfBothFamilies adds and deletes services of addresses and marks, and
// asks for them as packets do.
func TestServicesOfBothFamilies(t *testing.T) {
	addrs := rapid.SampledFrom([]netip.Addr{
		netip.MustParseAddr("10.10.1.1"), netip.MustParseAddr("10.10.1.2"),
		netip.MustParseAddr("fd10::1"), netip.MustParseAddr("fd10:0:0:1::"), // folded they are the same
		netip.MustParseAddr("::ffff:10.10.1.1"),
	})
	ports := rapid.SampledFrom([]uint16{0, 20, 21, 80, 1024})
	protos := rapid.SampledFrom([]ipvs.Protocol{ipvs.TCP, ipvs.UDP})
	keys := rapid.Custom(func(t *rapid.T) ipvs.ServiceKey {
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			return ipvs.ServiceKey{Mark: uint32(rapid.IntRange(1, 2).Draw(t, "mark")), V6: rapid.Bool().Draw(t, "of IPv6")}
		}
		return ipvs.ServiceKey{Proto: protos.Draw(t, "proto"), VIP: netip.AddrPortFrom(addrs.Draw(t, "vip"), ports.Draw(t, "port"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		var b viewBook
		live := map[ipvs.ServiceKey]*service{}
		for range rapid.IntRange(1, 15).Draw(t, "transactions") {
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				key := keys.Draw(t, "key")
				if live[key] != nil {
					delete(live, key)
				} else {
					live[key] = &service{key: key}
				}
				b.staleServices = append(b.staleServices, key)
			}
			before, services := b.six.byAddr, 0
			for _, part := range before {
				services += len(part)
			}
			b.takeServices(live)
			for _, part := range before {
				services -= len(part)
			}
			if services != 0 {
				t.Fatal("what a view of before sees has changed")
			}
			v := &view{four: b.four.services(), six: b.six.services()}
			mark := uint32(rapid.IntRange(0, 3).Draw(t, "packet's mark"))
			addr, port, proto := addrs.Draw(t, "dst"), ports.Draw(t, "dst port"), protos.Draw(t, "proto")
			var got *serviceView
			if addr.Is4() {
				got = v.four.find(mark, endpointOf(uint8(proto), Number4(addr), port))
			} else {
				got = v.six.find(mark, endpoint6Of(uint8(proto), rewrite.Addr6Of(addr), port))
			}
			want := slowFind(live, mark, proto, addr, port)
			if (got == nil) != (want == nil) || got != nil && got.service != want {
				t.Fatalf("mark %d, %v to %v port %d finds %+v, want %+v", mark, proto, addr, port, got, want)
			}
		}
	})
}

// slowFind is semantics 5.4, word by word.
func slowFind(live map[ipvs.ServiceKey]*service, mark uint32, proto ipvs.Protocol, addr netip.Addr, port uint16) *service {
	at := func(port uint16) *service {
		return live[ipvs.ServiceKey{Proto: proto, VIP: netip.AddrPortFrom(addr, port)}]
	}
	if s := live[ipvs.ServiceKey{Mark: mark, V6: addr.Is6()}]; mark != 0 && s != nil {
		return s
	}
	if s := at(port); s != nil {
		return s
	}
	if s := at(21); s != nil && proto == ipvs.TCP && (port == 20 || port >= 1024) {
		return s
	}
	return at(0)
}

func TestServicePart6(t *testing.T) {
	var parts [serviceParts]int
	for i := range 4096 {
		parts[endpoint6Of(6, rewrite.Addr6{Hi: 0xfd10 << 48, Lo: uint64(i % 64)}, uint16(8000+i/64)).part()]++
	}
	for n, services := range parts {
		if services > 64 {
			t.Errorf("part %d of %d has %d of 4096 services", n, serviceParts, services)
		}
	}
}
