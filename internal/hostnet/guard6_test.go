package hostnet

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"natlb/internal/packettest"
	"natlb/ipvs"
)

// behindGuard6 sends p to the director's interface, and then a packet that nothing
// guards, and reports whether p comes to where the IP stack is.
func (lab *guardLab) behindGuard6(behind *tap, p packettest.Packet) (passes bool) {
	lab.t.Helper()
	control := packettest.Packet{
		Proto: controlProto, Src: netip.MustParseAddrPort("[fd10:1::2]:0"), Dst: netip.MustParseAddrPort("[fd10:1::1]:0"),
		SrcMAC: [6]byte(lab.clientMAC), DstMAC: [6]byte(lab.vipMAC), Payload: make([]byte, 20),
	}
	p.SrcMAC = control.SrcMAC
	if p.DstMAC == [6]byte{} {
		p.DstMAC = control.DstMAC
	}
	frame, last := p.Frame(), control.Frame()
	behind.pending()
	lab.out.send(frame)
	lab.out.send(last)
	lab.vipTap.await("the packet", func(f []byte) bool { return bytes.Equal(f, frame) })
	behind.await("the control packet", func(f []byte) bool {
		passes = passes || bytes.Equal(f, frame)
		return bytes.Equal(f, last)
	})
	return passes
}

func TestGuardDropsExactlyIPv6(t *testing.T) {
	lab := newGuardLab(t)
	g := NewGuard(nil)
	must(t, g.Apply(GuardRules{ // one-arm: both rule kinds on vip0
		VIPLinks:  []string{"vip0"},
		DIPLinks:  []string{"vip0"},
		OwnedVIPs: []netip.Addr{addr("fd10:1::100"), addr("10.1.0.100")},
		Services: []GuardService{
			service(ipvs.TCP, "[fd10:1::1]:80"), service(ipvs.UDP, "[fd10:1::1]:53"), service(ipvs.SCTP, "[fd10:1::1]:0"),
			service(ipvs.TCP, "10.1.0.1:443"),
		},
		Servers: []netip.Addr{addr("fd10:1::11"), addr("fd10:1::12"), addr("10.1.0.11")},
		Locals:  []netip.Addr{addr("fd10:1::1"), addr("fe80::1"), addr("10.1.0.1")},
	}))
	const tcp, udp, sctp, icmp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_ICMPV6
	const host, owned, server, other = "fd10:1::1", "fd10:1::100", "fd10:1::11", "fd10:1::2"
	extensions := func(types ...uint8) (all []packettest.Extension) {
		for _, kind := range types {
			all = append(all, packettest.Extension{Type: kind})
		}
		return all
	}
	// piece is a fragment header with an offset and a more bit.
	piece := func(field uint16) []packettest.Extension {
		return []packettest.Extension{{Type: 44, Body: []byte{byte(field >> 8), byte(field), 0, 0, 0, 9}}}
	}
	ports := []byte{0x10, 0, 0, 80, 0, 8, 0, 0} // as SCTP has them, and the payload of pieces
	const groups = "ff02::1:ff00:100"
	for _, tt := range []struct {
		name     string
		p        packettest.Packet
		src, dst string
		port     uint16
		passes   bool
	}{
		{"service", packettest.Packet{Proto: tcp}, other, host, 80, false},
		{"other port", packettest.Packet{Proto: tcp}, other, host, 81, true},
		{"other protocol", packettest.Packet{Proto: udp}, other, host, 80, true},
		{"port of an IPv4 service", packettest.Packet{Proto: tcp}, other, host, 443, true},
		{"UDP service", packettest.Packet{Proto: udp}, other, host, 53, false},
		{"all ports", packettest.Packet{Proto: sctp, Raw: true, Payload: ports}, other, host, 0, false},
		{"behind extension headers", packettest.Packet{Proto: tcp, Extensions: extensions(0, 60, 43, 60)}, other, host, 80, false},
		{"other port behind extension headers", packettest.Packet{Proto: tcp, Extensions: extensions(0, 60)}, other, host, 81, true},
		{"whole, with a fragment header", packettest.Packet{Proto: tcp, Extensions: extensions(44)}, other, host, 80, false},
		{"first fragment", packettest.Packet{Proto: udp, Extensions: piece(1)}, other, host, 53, false},
		{"first fragment, other port", packettest.Packet{Proto: udp, Extensions: piece(1)}, other, host, 54, true},
		{"middle fragment", packettest.Packet{Proto: udp, Raw: true, Payload: ports, Extensions: piece(1232 | 1)}, other, host, 0, false},
		{"last fragment", packettest.Packet{Proto: udp, Raw: true, Payload: ports, Extensions: piece(8)}, other, host, 0, false},
		{"last fragment behind an extension header", packettest.Packet{
			Proto: tcp, Raw: true, Payload: ports, Extensions: append(extensions(0), piece(8)...)}, other, host, 0, false},
		{"fragment of a protocol without service", packettest.Packet{Proto: icmp, Raw: true, Payload: ports, Extensions: piece(8)}, other, host, 0, true},
		{"error to the host's VIP", packettest.Packet{Proto: icmp, Type: 1, Code: 4, Payload: make([]byte, 48)}, other, host, 0, true},
		{"ping to the host's VIP", packettest.Packet{Proto: icmp, Type: 128}, other, host, 0, true},
		{"solicitation of the host", packettest.Packet{Proto: icmp, Type: 135, TTL: 255, Payload: make([]byte, 16)}, other, host, 0, true},
		{"owned VIP, TCP", packettest.Packet{Proto: tcp}, other, owned, 4444, false},
		{"owned VIP, ping", packettest.Packet{Proto: icmp, Type: 128}, other, owned, 0, false},
		{"owned VIP, is it still there?", packettest.Packet{Proto: icmp, Type: 135, TTL: 255, Payload: make([]byte, 16)}, other, owned, 0, false},
		{"owned VIP, fragment", packettest.Packet{Proto: 47, Payload: ports, Extensions: piece(8)}, other, owned, 0, false},
		{"who has the owned VIP?", packettest.Packet{
			Proto: icmp, Type: 135, TTL: 255, Payload: make([]byte, 16), DstMAC: [6]byte{0x33, 0x33, 0xff, 0, 1, 0}}, "::", groups, 0, true},
		{"server's reply", packettest.Packet{Proto: tcp}, server, other, 5000, false},
		{"server's reply, other server", packettest.Packet{Proto: udp}, "fd10:1::12", "2001:db8::1", 5000, false},
		{"server's error", packettest.Packet{Proto: icmp, Type: 1, Code: 4, Payload: make([]byte, 48)}, server, other, 0, false},
		{"server's fragment", packettest.Packet{Proto: udp, Raw: true, Payload: ports, Extensions: piece(8 | 1)}, server, other, 0, false},
		{"server to the director", packettest.Packet{Proto: tcp}, server, host, 22, true},
		{"server to the service", packettest.Packet{Proto: tcp}, server, host, 80, false},
		{"server's advertisement to the director", packettest.Packet{Proto: icmp, Type: 136, TTL: 255, Payload: make([]byte, 16)}, server, "fe80::1", 0, true},
		{"server's router solicitation", packettest.Packet{Proto: icmp, Type: 133, TTL: 255, DstMAC: [6]byte{0x33, 0x33, 5: 2}}, server, "ff02::2", 0, true},
		{"somebody else's packet to forward", packettest.Packet{Proto: tcp}, other, "fd10:2::2", 80, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enter(t, lab.director) // a subtest has a thread of its own
			p := tt.p
			p.Src, p.Dst = netip.AddrPortFrom(addr(tt.src), 4096), netip.AddrPortFrom(addr(tt.dst), tt.port)
			if got := lab.behindGuard6(newTapOf(t, "vip0", unix.ETH_P_IPV6), p); got != tt.passes {
				t.Errorf("the packet passes = %v, want %v", got, tt.passes)
			}
		})
	}
}

// TestGuardOfBothFamilies: what is equal, and that thousands of services fit.
func TestGuardOfBothFamilies(t *testing.T) {
	a := GuardRules{Services: []GuardService{service(ipvs.TCP, "[fd10::1]:80"), service(ipvs.TCP, "10.1.0.1:80")}}
	b := a
	b.Services = slices.Clone(a.Services)
	slices.Reverse(b.Services)
	x, err := newRuleset(a)
	must(t, err)
	y, err := newRuleset(b)
	must(t, err)
	if !x.equal(&y) {
		t.Error("the same rules in another order are not equal")
	}
	b.Services[0] = service(ipvs.TCP, "[fd10::2]:80")
	if y, err = newRuleset(b); err != nil || x.equal(&y) {
		t.Errorf("rules with another service of IPv6 are equal (%v)", err)
	}
	if len(x.four.services) != 1 || len(x.six.services) != 1 || len(x.six.services[0]) != 24 {
		t.Errorf("services: %v and %v", x.four.services, x.six.services)
	}
}
