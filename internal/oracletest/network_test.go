package oracletest

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/rewrite"
)

// Links of the director.
const (
	vipLink = 0
	dipLink = 1
)

// The MAC addresses of the recordings' topology.
var (
	linkMACs = [2][6]byte{{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 2, 1}}
	clMAC    = [6]byte{2, 0, 0, 0, 1, 2}
)

func serverMAC(i int) [6]byte { return [6]byte{2, 0, 0, 0, 2, uint8(0x11 + i)} }

// network is the topology: clients and real servers on the two wires of a
// director.
//
//	client kernel, raw clients ── VIP wire ── director ── DIP wire ── rs1 … rs4
type network struct {
	clock
	plan     *plan
	director *dataplane.Director
	drivers  []*dataplane.Driver // one for each shard
	frames   int                 // given to them
	client   *kernel
	servers  [4]*kernel
	wires    [2][]captured // everything that has crossed each link, in order

	setup
	mtu     [2]int
	failed  map[netip.Addr]bool // neighbours that were asked for and did not answer
	pending map[netip.Addr]bool
}

// setup is in what ways the same recordings are played.
type setup struct {
	offload bool // hosts leave checksums to the devices, as veth and virtio have it
	shards  int
}

// captured is a frame as a capture on one of the director's links sees it.
type captured struct {
	frame        []byte
	fromDirector bool
}

// ip returns the packet in the frame.
func (c captured) ip() []byte { return c.frame[14:] }

const (
	hop      = 10 * time.Microsecond // time on a wire
	wakeUp   = 20 * time.Microsecond // until a program sees what has come in
	idleTick = 100 * time.Millisecond
	arpTries = 3 * time.Second // three tries of a second each
)

func newNetwork(p *plan, set setup) *network {
	n := &network{plan: p, setup: set, mtu: [2]int{1500, 1500}, failed: map[netip.Addr]bool{}, pending: map[netip.Addr]bool{}}
	n.director = dataplane.NewDirector(dataplane.Config{
		Links: []dataplane.Link{{Name: "vip0", Side: dataplane.VIPSide}, {Name: "dip0", Side: dataplane.DIPSide}},
		Seed:  1, Rand: rand.New(rand.NewPCG(3, 4)), Shards: set.shards,
		Clock: func() time.Duration { return n.now },
	})
	for i := range set.shards {
		n.drivers = append(n.drivers, n.director.NewDriver(i, n.emit))
	}
	n.director.SetHost(n.picture())
	n.client = newKernel(n, "cl", vipLink, clMAC, func(a netip.Addr) bool { return p.clients.Contains(a) || p.clients6.Contains(a) })
	for i := range n.servers {
		own := func(a netip.Addr) bool { return a == p.rips[i] || a == p.rips6[i] }
		n.servers[i] = newKernel(n, "rs"+string(rune('1'+i)), dipLink, serverMAC(i), own)
		serve(n.servers[i])
	}
	n.tick()
	return n
}

// tick does what the daemon does by the clock.
func (n *network) tick() {
	n.batch(nil)
	switch n.now % (2 * time.Second) {
	case 0:
		n.director.Estimate()
		fallthrough
	case time.Second:
		n.director.Housekeep(n.now)
		n.director.Defend(1<<30, n.now)
	}
	n.after(idleTick, n.tick)
}

// send puts an IP packet of a host on the wire to the director.
func (n *network) send(link uint8, from [6]byte, ip []byte) {
	etherType := []byte{8, 0}
	if ip[0]>>4 == 6 {
		etherType = []byte{0x86, 0xdd}
	}
	frame := slices.Concat(linkMACs[link][:], from[:], etherType, ip)
	n.after(hop, func() {
		n.wires[link] = append(n.wires[link], captured{frame: slices.Clone(frame)})
		f := dataplane.Frame{Data: frame, WireLen: uint32(len(frame)), Link: link}
		if n.offload && finished(ip) {
			f = packettest.Partial(frame, 0)
			f.Link = link
		}
		n.batch(&f)
	})
}

// sendPartial does so with an ICMPv6 message whose checksum is left to the device: its
// field is given the sum of the pseudo header.
func (n *network) sendPartial(link uint8, from [6]byte, ip []byte) {
	h, p, _ := parseIP(ip)
	binary.BigEndian.PutUint16(p[2:], ^checksum(nil, pseudo(h.src, h.dst, h.proto, len(p))))
	frame := slices.Concat(linkMACs[link][:], from[:], []byte{0x86, 0xdd}, ip)
	n.after(hop, func() {
		n.wires[link] = append(n.wires[link], captured{frame: slices.Clone(frame)})
		n.batch(&dataplane.Frame{
			Data: frame, WireLen: uint32(len(frame)), Link: link,
			Offload: dataplane.Offload{Flags: dataplane.OffloadNeedsCsum, CsumStart: 54, CsumOffset: 2},
		})
	})
}

// finished reports whether ip is a whole TCP, UDP or SCTP packet with a right
// checksum, which is what a device can have left to do.
func finished(ip []byte) bool {
	h, p, ok := parseIP(ip)
	if !ok || ip[0] != 0x45 && ip[0] != 0x60 || h.off != 0 || h.mf || h.proto != protoTCP && h.proto != protoUDP && h.proto != protoSCTP {
		return false
	}
	if h.proto == protoSCTP {
		return sctpOK(p)
	}
	zero := h.proto == protoUDP && p[6] == 0 && p[7] == 0
	return !zero && checksum(p, pseudo(h.src, h.dst, h.proto, len(p))) == 0
}

// batch lets the director work on one frame, or on none. A frame comes to the
// next shard in turn, whosever it is; only the pieces of a packet stay together, as
// the kernel keeps them.
func (n *network) batch(f *dataplane.Frame) {
	for _, d := range n.drivers {
		d.Batch(nil, n.now)
	}
	if f == nil {
		return
	}
	n.frames++
	if h, _, ok := parseIP(f.Data[14:]); ok && (h.mf || h.off != 0) {
		n.frames = int(h.src.AsSlice()[3])
	}
	n.drivers[n.frames%len(n.drivers)].Batch([]dataplane.Frame{*f}, n.now)
}

// emit puts on the wires what the director sends.
func (n *network) emit(out []dataplane.Frame, asks []dataplane.Resolve) {
	for _, f := range out {
		n.deliver(f.Link, slices.Clone(f.Data))
	}
	for _, ask := range asks {
		if ask.Dst != 0 {
			n.resolve(addr4(ask.Dst))
		} else {
			n.resolve(ask.Dst6.Addr())
		}
	}
}

// deliver brings a frame of the director to the host whose it is.
func (n *network) deliver(link uint8, frame []byte) {
	n.wires[link] = append(n.wires[link], captured{frame, true})
	host := n.client
	if link == dipLink {
		i := int(frame[5]) - 0x11
		if i < 0 || i >= len(n.servers) {
			return
		}
		host = n.servers[i]
	}
	n.after(hop, func() { host.receive(frame[14:]) })
}

// resolve asks for a neighbour that nobody is: the answer never comes.
func (n *network) resolve(addr netip.Addr) {
	if n.pending[addr] {
		return
	}
	n.pending[addr] = true
	delete(n.failed, addr)
	n.director.SetHost(n.picture())
	n.after(arpTries, func() {
		delete(n.pending, addr)
		n.failed[addr] = true
		n.director.SetHost(n.picture())
	})
}

func (n *network) setMTU(link uint8, mtu int) {
	n.mtu[link] = mtu
	n.director.SetHost(n.picture())
}

// picture is what the director's host knows: two connected networks, no default
// route, and the MAC addresses of the recordings. natlb owns the VIPs.
type picture struct {
	*packettest.Host
	plan *plan
}

func (n *network) picture() picture {
	h := &packettest.Host{
		Links: []dataplane.LinkState{
			{MAC: linkMACs[vipLink], MTU: n.mtu[vipLink], Up: true, Addr: number4(n.plan.vipAddr), Addr6: rewrite.Addr6Of(n.plan.vipAddr6)},
			{MAC: linkMACs[dipLink], MTU: n.mtu[dipLink], Up: true, Addr: number4(n.plan.dipAddr), Addr6: rewrite.Addr6Of(n.plan.dipAddr6)},
		},
		Locals: map[netip.Addr]bool{n.plan.vipAddr: true, n.plan.dipAddr: true, n.plan.vipAddr6: true, n.plan.dipAddr6: true},
		Routes: []packettest.Route{
			{Prefix: n.plan.vipNet, Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: n.plan.dipNet, Kind: dataplane.HopForward, Link: dipLink},
			{Prefix: n.plan.vipNet6, Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: n.plan.dipNet6, Kind: dataplane.HopForward, Link: dipLink},
		},
		Neighbours: map[netip.Addr]packettest.Neighbour{},
	}
	for a := range n.failed {
		h.Neighbours[a] = packettest.Failed
	}
	return picture{h, n.plan}
}

// Lookup implements [dataplane.Host]. An address that is no client and no
// server has no neighbour.
func (p picture) Lookup(dst uint32) dataplane.Hop {
	hop := p.Host.Lookup(dst)
	if hop.Kind != dataplane.HopForward {
		return hop
	}
	hop.MAC, hop.Resolved = p.plan.neighbour(addr4(dst))
	return hop
}

// Lookup6 implements [dataplane.Host].
func (p picture) Lookup6(dst rewrite.Addr6) dataplane.Hop {
	hop := p.Host.Lookup6(dst)
	if hop.Kind != dataplane.HopForward {
		return hop
	}
	hop.MAC, hop.Resolved = p.plan.neighbour(dst.Addr())
	return hop
}

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
