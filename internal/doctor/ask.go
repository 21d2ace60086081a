package doctor

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"natlb/internal/hostnet"
)

const (
	askRounds = 2                      // probes for each address (RFC 5227 has three, spread over seconds)
	askMore   = 3                      // more of them while a next hop, which ought to answer, is silent
	askWait   = 200 * time.Millisecond // for answers to each round
	mostAsked = 1024                   // VIPs, and servers; the rest is reported as not asked
)

// asker is how a family asks who has an address. The probes carry no sender address:
// nobody's neighbour table changes.
type asker struct {
	v6        bool
	etherType int
	filter    []bpf.RawInstruction // lets in what may be an answer; nil: all of the ether type

	// probe returns the frame that asks for an address, and whom it is for.
	probe func(mac [6]byte, addr netip.Addr) (frame []byte, to [6]byte)
	// claim reads a frame: who says to have which address.
	claim func(frame []byte) (addr netip.Addr, mac [6]byte, ok bool)
}

// askers ask by ARP and by neighbour discovery.
var askers = []asker{
	{etherType: unix.ETH_P_ARP, probe: arpProbe, claim: arpClaim},
	{v6: true, etherType: unix.ETH_P_IPV6, filter: advertsOnly(), probe: ndProbe, claim: ndClaim},
}

// askNeighbours asks who has the VIPs on every link of the VIP side, and the servers'
// next hops on theirs. natlb itself does not hear the questions, and answers from this
// host's own interfaces do not count.
func (f *Facts) askNeighbours(ctx context.Context) {
	own := ownMACs()
	for i := range f.VIPs[:min(len(f.VIPs), mostAsked)] {
		f.VIPs[i].Asked = true
	}
	for i := range f.Links {
		for k := range askers {
			f.askOn(ctx, &f.Links[i], &askers[k], own)
		}
	}
}

// askOn asks for what is of one family on one link.
func (f *Facts) askOn(ctx context.Context, l *Link, a *asker, own []net.HardwareAddr) {
	vips, servers := f.VIPs[:min(len(f.VIPs), mostAsked)], f.Servers[:min(len(f.Servers), mostAsked)]
	var addrs, hops []netip.Addr
	isVIP := func(v *VIP) bool { return l.VIP && v.Addr.Is6() == a.v6 }
	isHop := func(w *Way) bool {
		return w.Kind == hostnet.Unicast && w.Link == l.Name && w.NextHop.Is6() == a.v6
	}
	for j := range vips {
		if isVIP(&vips[j]) {
			addrs = append(addrs, vips[j].Addr)
		}
	}
	for j := range servers {
		if w := &servers[j].Way; isHop(w) {
			hops = append(hops, w.NextHop)
		}
	}
	heard, err := l.ask(ctx, a, addrs, hops, own)
	for j := range vips {
		if v := &vips[j]; isVIP(v) {
			v.Asked = v.Asked && err == nil
			for _, m := range heard[v.Addr] {
				v.Owners = append(v.Owners, Owner{l.Name, m})
			}
		}
	}
	for j := range servers {
		if s := &servers[j]; isHop(&s.Way) && err == nil {
			s.Asked, s.Answers = true, heard[s.Way.NextHop]
		}
	}
}

func ownMACs() (all []net.HardwareAddr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for i := range interfaces {
		all = append(all, interfaces[i].HardwareAddr)
	}
	return all
}

// ask asks for VIPs and next hops on the link and returns which other machines
// answer.
func (l *Link) ask(ctx context.Context, a *asker, vips, hops []netip.Addr, own []net.HardwareAddr) (map[netip.Addr][][6]byte, error) {
	addrs := slices.Concat(vips, hops)
	if len(addrs) == 0 {
		return nil, nil
	}
	if !l.Up || l.Type != "ether" {
		return nil, unix.ENETDOWN
	}
	ifi, err := net.InterfaceByName(l.Name)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(ifi, packet.Raw, a.etherType, &packet.Config{Filter: a.filter})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	heard := make(map[netip.Addr][][6]byte, len(addrs))
	for _, addr := range addrs {
		heard[addr] = nil
	}
	quiet := func(hop netip.Addr) bool { return len(heard[hop]) == 0 }
	for round := range askRounds + askMore {
		if round >= askRounds && !slices.ContainsFunc(hops, quiet) {
			break
		}
		for _, addr := range addrs {
			frame, to := a.probe([6]byte(ifi.HardwareAddr), addr)
			if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: to[:]}); err != nil {
				return nil, err
			}
		}
		if err := conn.SetReadDeadline(soon(ctx, askWait)); err != nil {
			return nil, err
		}
		hear(conn, a, heard, own)
	}
	return heard, ctx.Err()
}

// hear notes until the deadline who says to have one of the addresses in heard.
func hear(conn *packet.Conn, a *asker, heard map[netip.Addr][][6]byte, own []net.HardwareAddr) {
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		sender, mac, ok := a.claim(buf[:n])
		if !ok {
			continue
		}
		macs, asked := heard[sender]
		mine := slices.ContainsFunc(own, func(m net.HardwareAddr) bool { return slices.Equal(m, mac[:]) })
		if asked && !mine && !slices.Contains(macs, mac) {
			heard[sender] = append(macs, mac)
		}
	}
}

// soon returns the end of a wait, or of ctx if that comes before.
func soon(ctx context.Context, wait time.Duration) time.Time {
	end := time.Now().Add(wait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		return deadline
	}
	return end
}
