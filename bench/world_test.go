package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/conntrack"
	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
)

const (
	vipLink = 0
	dipLink = 1
	batch   = dataplane.MaxBatch
)

// setup says what a director is made of.
type setup struct {
	proto    ipvs.Protocol
	sched    string
	services int // each on its own VIP; connections are dealt out to them in turn
	servers  int // of each service
	shards   int
	method   ipvs.ForwardMethod
	tunnel   ipvs.TunnelOptions
	v6       bool // everything of IPv6; addresses end in those of IPv4, see [setup.addr]
	wire     bool // checksums are complete, as a network card gives them; else partial, as a virtual link does
}

// world is a director whose shard 0 is driven with batches, as the live loop
// does it; what is sent goes nowhere.
type world struct {
	setup
	director *dataplane.Director
	driver   *dataplane.Driver
	now      time.Duration
	sent     func(out []dataplane.Frame)
}

// newWorld makes one. wake may be nil.
func newWorld(b *testing.B, s setup, wake func()) *world {
	b.Helper()
	d := dataplane.NewDirector(dataplane.Config{Seed: 1, Shards: s.shards, Wake: wake, Links: []dataplane.Link{
		{Name: "vip", Side: dataplane.VIPSide, Caps: dataplane.Caps{Offload: true}},
		{Name: "dip", Side: dataplane.DIPSide, Caps: dataplane.Caps{Offload: true}},
	}})
	d.SetHost(&packettest.Host{
		Links: []dataplane.LinkState{
			{MTU: 1500, Up: true, Addr: 0x0a0a0001, Addr6: rewrite.Addr6Of(addr6(0x0a0a0001))},
			{MTU: 1500, Up: true, Addr: 0x0a140001, Addr6: rewrite.Addr6Of(addr6(0x0a140001))},
		},
		Routes: []packettest.Route{
			{Prefix: netip.MustParsePrefix("10.10.0.0/16"), Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: netip.MustParsePrefix("10.20.0.0/16"), Kind: dataplane.HopForward, Link: dipLink},
			{Prefix: netip.PrefixFrom(addr6(0x0a0a0000), 112), Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: netip.PrefixFrom(addr6(0x0a140000), 112), Kind: dataplane.HopForward, Link: dipLink},
		},
	})
	var changes []ipvs.Change
	for i := range s.services {
		service := ipvs.Service{
			Key:       ipvs.ServiceKey{Proto: s.proto, VIP: netip.AddrPortFrom(s.addr(s.vip(i)), 80)},
			Scheduler: s.sched,
		}
		changes = append(changes, ipvs.Change{Kind: ipvs.AddService, Service: service})
		for k := range s.servers {
			changes = append(changes, ipvs.Change{Kind: ipvs.AddDestination, Service: service, Destination: ipvs.Destination{
				Addr: netip.AddrPortFrom(s.addr(0x0a140100+uint32(k)), rport), Weight: 1, Method: s.method, Tunnel: s.tunnel,
			}})
		}
	}
	if s.method == ipvs.FullNAT {
		changes = append(changes, ipvs.Change{Kind: ipvs.ChangeSources, Words: []string{"add", fmt.Sprintf("%v-%v", s.addr(0x0a140200), s.addr(0x0a140207))}})
	}
	if err := d.Apply(changes); err != nil {
		b.Fatal(err)
	}
	w := &world{setup: s, director: d, now: time.Second}
	w.driver = d.NewDriver(0, func(out []dataplane.Frame, _ []dataplane.Resolve) {
		if w.sent != nil {
			w.sent(out)
		}
	})
	return w
}

// vip returns the address of service i: below the clients', in the same network.
func (s *setup) vip(i int) uint32 { return 0x0a0a0101 + uint32(i%s.services) }

// key is the key of connection i: 50,000 ports of each client.
func (s *setup) key(i int) conntrack.Key4 {
	key := connKey(i)
	key.VIP, key.Proto = s.vip(i), uint8(s.proto)
	return key
}

func addr(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// addr6 is an address of IPv6 that ends in one of IPv4.
func addr6(a uint32) netip.Addr {
	b := netip.MustParseAddr("fd10::").As16()
	binary.BigEndian.PutUint32(b[12:], a)
	return netip.AddrFrom16(b)
}

// addr is the address of that number in the setup's family.
func (s *setup) addr(a uint32) netip.Addr {
	if s.v6 {
		return addr6(a)
	}
	return addr(a)
}

// forwarded returns how many frames the director has sent on.
func (w *world) forwarded() uint64 { return w.count(dataplane.Forward) }

func (w *world) count(v dataplane.Verdict) uint64 {
	return w.director.Counters()[v].Frames
}

// open establishes n connections and returns the servers that they got, as the
// low 16 bits of their addresses.
func (w *world) open(b *testing.B, n int) (rips []uint16) {
	b.Helper()
	before := w.forwarded()
	flags := []string{"S", "A"}
	if w.proto == ipvs.UDP {
		flags = []string{""}
	}
	rips = make([]uint16, 0, n)
	for first := 0; first < n; first += batch {
		size := min(batch, n-first)
		for step, f := range flags {
			p := w.packets(vipLink, f, 0)
			for i := range size {
				p.set(i, w.key(first+i), 0)
			}
			if step == 0 {
				w.sent = func(out []dataplane.Frame) {
					for i := range out {
						rips = append(rips, binary.BigEndian.Uint16(out[i].Data[p.dst+2:]))
					}
				}
			}
			w.driver.Batch(p.frames[:size], w.now)
			w.sent = nil
		}
	}
	if got, want := w.forwarded()-before, uint64(n*len(flags)); got != want || len(rips) != n {
		b.Fatalf("opening %d connections forwarded %d packets, want %d", n, got, want)
	}
	return rips
}

// packets are the frames of a batch, made from one template: payload makes those of
// IPv4 60 bytes long (and the 4 of the FCS), those of IPv6 20 more, or super-packets.
type packets struct {
	frames   [batch]dataplane.Frame
	template [62]byte // Ethernet and IP header and the ports, as received
	fresh    int      // bytes of it that count
	sum      uint32   // of the IPv4 header without its addresses
	dst      int      // offset of the low 32 bits of the destination
	client   int      // and of the client's address
	port     int      // and of its port
	virtual  int      // and of the VIP or the server's address
}

// frameMemory is the memory of the frames and of the room in front of them; calls
// of packets share it.
var frameMemory [batch][]byte

// frameHead makes the IP header start where a cache line does, as ports do it.
const frameHead = 64 - rewrite.EthernetLen

func (s *setup) packets(link uint8, flags string, payload int) *packets {
	p := packettest.Packet{
		Proto: uint8(s.proto), Flags: flags, DF: !s.v6, Payload: make([]byte, payload),
		Src: netip.AddrPortFrom(s.addr(0x0a0a4001), 1), Dst: netip.AddrPortFrom(s.addr(0x0a0a0101), 80),
	}
	if p.Chunks = "DATA"; flags == "S" {
		p.Chunks = "INIT"
	}
	ps := &packets{client: 26, virtual: 30, port: 34, fresh: 42}
	if s.v6 {
		ps = &packets{client: 34, virtual: 50, port: 54, fresh: 62}
	}
	ps.dst = ps.virtual
	if link == dipLink {
		p.Src, p.Dst = netip.AddrPortFrom(s.addr(0x0a140101), rport), p.Src
		ps.client, ps.virtual, ps.port = ps.virtual, ps.client, ps.port+2
	}
	mss := 0
	if payload > 1448 {
		mss = 1448
		if s.method == ipvs.Tunnel {
			mss = 1400 // room for its headers
		}
		if s.v6 {
			mss -= 20
		}
	}
	frame := packettest.Partial(p.Frame(), mss)
	if s.wire {
		frame.Offload = dataplane.Offload{Flags: dataplane.OffloadDataValid}
	}
	frame.Link = link
	copy(ps.template[:ps.fresh], frame.Data)
	if !s.v6 {
		clear(ps.template[24:34]) // header checksum and addresses
		for at := 14; at < 34; at += 2 {
			ps.sum += uint32(binary.BigEndian.Uint16(ps.template[at:]))
		}
	}
	for i := range ps.frames {
		frameMemory[i] = append(frameMemory[i][:0], make([]byte, frameHead)...)
		frameMemory[i] = append(frameMemory[i], frame.Data...)
		ps.frames[i] = frame
	}
	return ps
}

// set makes frame i that of a connection, from the client, or from the server
// with the low bits rip of its address. The checksums of TCP and UDP are not verified
// on the way, so only the IPv4 header's is made right.
func (ps *packets) set(i int, key conntrack.Key4, rip uint16) {
	f := &ps.frames[i]
	f.Head, f.Data = frameMemory[i][:frameHead], frameMemory[i][frameHead:]
	b := f.Data
	copy(b, ps.template[:ps.fresh])
	other := key.VIP
	if ps.client == ps.dst {
		other = 0x0a140000 | uint32(rip)
	}
	binary.BigEndian.PutUint32(b[ps.client:], key.CIP)
	binary.BigEndian.PutUint32(b[ps.virtual:], other)
	binary.BigEndian.PutUint16(b[ps.port:], key.CPort)
	if ps.sum == 0 {
		return // IPv6
	}
	sum := ps.sum + key.CIP>>16 + key.CIP&0xffff + other>>16 + other&0xffff
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum&0xffff+sum>>16))
}
