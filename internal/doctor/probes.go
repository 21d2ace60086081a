package doctor

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"

	"natlb/rewrite"
)

// arpProbe asks for an IPv4 address as who wants to take it does (RFC 5227 section 2.1).
func arpProbe(mac [6]byte, addr netip.Addr) (frame []byte, to [6]byte) {
	frame = make([]byte, rewrite.ARPFrameLen)
	ip := addr.As4()
	n := rewrite.ARPProbe(frame, mac, binary.BigEndian.Uint32(ip[:]))
	return frame[:n], [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// arpClaim reads who says to have an address.
func arpClaim(frame []byte) (addr netip.Addr, mac [6]byte, ok bool) {
	var a rewrite.ARP
	if !rewrite.ParseARP(frame, &a) {
		return addr, mac, false
	}
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], a.SenderIP)
	return netip.AddrFrom4(ip), a.SenderMAC, true
}

// ndProbe asks for an IPv6 address as who wants to take it does (RFC 4862 section
// 5.4.2): who has it says so to all nodes, which every host listens to.
func ndProbe(mac [6]byte, addr netip.Addr) (frame []byte, to [6]byte) {
	frame = make([]byte, rewrite.NDFrameLen)
	target := rewrite.Addr6Of(addr)
	n := rewrite.NDProbe(frame, mac, target)
	return frame[:n], rewrite.MulticastMAC(rewrite.SolicitedNode(target))
}

// ndClaim reads who says to have an address. A probe of somebody else's is no claim: it
// only asks.
func ndClaim(frame []byte) (addr netip.Addr, mac [6]byte, ok bool) {
	var p rewrite.Packet
	var m rewrite.ND
	if rewrite.ParseIPv6(frame, &p) != rewrite.FaultNone || !rewrite.ParseND(frame, &p, &m) || m.Solicitation {
		return addr, mac, false
	}
	return m.Target.Addr(), m.MAC, true
}

// advertsOnly returns the filter for neighbour advertisements: behind extension headers
// there are none (RFC 6980).
func advertsOnly() []bpf.RawInstruction {
	const next, icmpType = rewrite.EthernetLen + 6, rewrite.EthernetLen + 40
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: next, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ProtoICMPv6), SkipFalse: 3},
		bpf.LoadAbsolute{Off: icmpType, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(rewrite.ICMPv6Advert), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		panic(fmt.Sprintf("doctor: the filter for advertisements: %v", err))
	}
	return program
}
