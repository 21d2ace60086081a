package doctor

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"natlb/internal/hostnet"
	"natlb/rewrite"
)

const (
	arpRounds = 2                      // probes for each address (RFC 5227 has three, spread over seconds)
	arpMore   = 3                      // more of them while a next hop, which ought to answer, is silent
	arpWait   = 200 * time.Millisecond // for answers to each round
	mostAsked = 1024                   // VIPs, and servers; the rest is reported as not asked
)

// askByARP asks who has the VIPs on every link of the VIP side, and the servers'
// next hops on theirs. The probes carry no sender address: nobody's neighbour
// table changes. natlb itself does not hear them, and answers from this host's
// own interfaces do not count.
func (f *Facts) askByARP(ctx context.Context) {
	own := ownMACs()
	vips, servers := f.VIPs[:min(len(f.VIPs), mostAsked)], f.Servers[:min(len(f.Servers), mostAsked)]
	for i := range vips {
		vips[i].Asked = true
	}
	for i := range f.Links {
		l := &f.Links[i]
		var addrs, hops []netip.Addr
		for j := range vips {
			if l.VIP {
				addrs = append(addrs, vips[j].Addr)
			}
		}
		for j := range servers {
			if w := &servers[j].Way; w.Kind == hostnet.Unicast && w.Link == l.Name && w.NextHop.Is4() {
				hops = append(hops, w.NextHop)
			}
		}
		heard, err := l.ask(ctx, addrs, hops, own)
		for j := range vips {
			if l.VIP {
				vips[j].Asked = vips[j].Asked && err == nil
				for _, m := range heard[vips[j].Addr] {
					vips[j].Owners = append(vips[j].Owners, Owner{l.Name, m})
				}
			}
		}
		for j := range servers {
			if s := &servers[j]; s.Way.Link == l.Name && err == nil {
				s.Asked, s.Answers = true, heard[s.Way.NextHop]
			}
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
func (l *Link) ask(ctx context.Context, vips, hops []netip.Addr, own []net.HardwareAddr) (map[netip.Addr][][6]byte, error) {
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
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	heard := make(map[netip.Addr][][6]byte, len(addrs))
	for _, addr := range addrs {
		heard[addr] = nil
	}
	to := &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	quiet := func(hop netip.Addr) bool { return len(heard[hop]) == 0 }
	for round := range arpRounds + arpMore {
		if round >= arpRounds && !slices.ContainsFunc(hops, quiet) {
			break
		}
		var frame [rewrite.ARPFrameLen]byte
		for _, addr := range addrs {
			ip := addr.As4()
			rewrite.ARPProbe(frame[:], [6]byte(ifi.HardwareAddr), binary.BigEndian.Uint32(ip[:]))
			if _, err := conn.WriteTo(frame[:], to); err != nil {
				return nil, err
			}
		}
		if err := conn.SetReadDeadline(soon(ctx, arpWait)); err != nil {
			return nil, err
		}
		hear(conn, heard, own)
	}
	return heard, ctx.Err()
}

// hear notes until the deadline who says to have one of the addresses in heard.
func hear(conn *packet.Conn, heard map[netip.Addr][][6]byte, own []net.HardwareAddr) {
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var a rewrite.ARP
		if !rewrite.ParseARP(buf[:n], &a) {
			continue
		}
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], a.SenderIP)
		sender := netip.AddrFrom4(ip)
		macs, asked := heard[sender]
		mine := slices.ContainsFunc(own, func(m net.HardwareAddr) bool { return slices.Equal(m, a.SenderMAC[:]) })
		if asked && !mine && !slices.Contains(macs, a.SenderMAC) {
			heard[sender] = append(macs, a.SenderMAC)
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
