package dataplane

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"natlb/ipvs"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

type testHost struct{}

func (testHost) Lookup(dst uint32) Hop {
	l := uint8(0)
	if dst>>8 == 0x0a1400 {
		l = 1
	}
	return Hop{Kind: HopForward, Link: l, Resolved: true, MTU: 1500, Gateway: dst, MAC: [6]byte{2, 2, 2, 2, 2, 2}, LinkMAC: [6]byte{1, 1, 1, 1, 1, byte(l)}}
}
func (testHost) Link(i uint8) LinkState {
	return LinkState{MAC: [6]byte{1, 1, 1, 1, 1, i}, MTU: 1500, Up: true, Addr: 0x0a140001}
}
func (testHost) IsLocal(uint32) bool { return false }

func synFrame(src string, sport uint16, dst string, dport uint16) []byte {
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, DstMAC: net.HardwareAddr{1, 1, 1, 1, 1, 0}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4(), Flags: layers.IPv4DontFragment}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), SYN: true, Window: 1000}
	tcp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestSmoke(t *testing.T) {
	d := NewDirector(Config{Links: []Link{{"vip0", VIPSide, Caps{true}}, {"dip0", DIPSide, Caps{true}}}})
	d.SetHost(testHost{})
	key := ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}
	err := d.Apply([]ipvs.Change{
		{Kind: ipvs.AddService, Service: ipvs.Service{Key: key, Scheduler: "rr"}},
		{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: key}, Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.20.0.11:8080"), Weight: 1}},
		{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: key}, Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.20.0.12:80"), Weight: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := d.Shard(0)
	for i := range 4 {
		s.Begin(time.Second)
		b := synFrame("10.10.2.1", uint16(20000+i), "10.10.1.1", 80)
		f := Frame{Data: b, WireLen: uint32(len(b))}
		v := s.Process(&f, time.Second)
		s.End()
		t.Log(v, len(s.Output()))
		for _, o := range s.Output() {
			t.Log(o.Link, gopacket.NewPacket(o.Data, layers.LayerTypeEthernet, gopacket.Default))
		}
	}
	t.Log(d.Services())
	for c := range d.Connections {
		t.Log(c)
	}
	t.Log(d.Counters())
}
