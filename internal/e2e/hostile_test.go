package e2e

// Strangers and faults beside the traffic:
//
//	client-1 ──┐
//	client-2 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	raw frames, a stolen VIP            control socket: clients that stall

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/mdlayher/packet"

	"natlb/internal/lab"
)

// Broken frames reach the director from both sides while it works. It lives,
// its traffic does not notice, and each frame has its counted verdict.
func TestHostileFrames(t *testing.T) {
	begin(t)
	for _, o := range []lab.CourseOptions{{Clients: 2}, {Clients: 2, HostOwnsVIP: true, IPForward: true}} {
		c, d := running(t, o)
		balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
		l := startLoad(t, firstClient(c), 2)
		l.more(50)
		random := rand.New(rand.NewPCG(1, 2))
		for _, side := range []struct {
			from           *lab.Namespace
			link, facing   string
			source, target netip.Addr
		}{
			{c.Clients[1], lab.ClientLink, lab.VIPLink, c.CIPs[1][0], lab.VIP},
			{c.Servers[1], lab.ServerLink, lab.DIPLink, c.RIPs[1], c.CIPs[1][0]},
		} {
			mac, err := c.Director.HardwareAddr(side.facing)
			must(t, err)
			own, err := side.from.HardwareAddr(side.link)
			must(t, err)
			seeds := goodFrames(t, mac, own, side.source, side.target)
			sendRaw(t, side.from, side.link, 5000, func() []byte { return spoil(random, seeds) })
		}
		l.more(50)
		l.stopClean()
		checkBalanced(t, c)
		if counters := d.ctl("counters --socket " + d.socket); !strings.Contains(counters, "drop") {
			t.Errorf("after hostile frames no drop is counted:\n%s", counters)
		}
	}
}

// goodFrames are correct frames to be spoilt: TCP, UDP, fragments, ICMP errors
// that quote a packet, ARP. They carry the sender's own MAC address: a false one
// in a request that is good otherwise would mislead the director's kernel about
// a real server, as it misleads any host.
func goodFrames(t *testing.T, mac, own net.HardwareAddr, from, to netip.Addr) [][]byte {
	t.Helper()
	ethernet := func(kind layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: own, DstMAC: mac, EthernetType: kind}
	}
	ip := func(protocol layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Id: 77, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	tcp := func(ip *layers.IPv4) *layers.TCP {
		segment := &layers.TCP{SrcPort: 7, DstPort: 80, SYN: true, Window: 1000}
		must(t, segment.SetNetworkLayerForChecksum(ip))
		return segment
	}
	udp := func(ip *layers.IPv4) *layers.UDP {
		datagram := &layers.UDP{SrcPort: 7, DstPort: 53}
		must(t, datagram.SetNetworkLayerForChecksum(ip))
		return datagram
	}
	frame := func(ls ...gopacket.SerializableLayer) []byte {
		b := gopacket.NewSerializeBuffer()
		must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
		return bytes.Clone(b.Bytes())
	}
	outer, first, rest, quoted := ip(layers.IPProtocolTCP), ip(layers.IPProtocolUDP), ip(layers.IPProtocolUDP), ip(layers.IPProtocolTCP)
	first.Flags, rest.FragOffset = layers.IPv4MoreFragments, 2
	quoted.SrcIP, quoted.DstIP = quoted.DstIP, quoted.SrcIP
	unreachable := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded), Seq: 600}
	options := ip(layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}}
	return [][]byte{
		frame(ethernet(layers.EthernetTypeIPv4), outer, tcp(outer), gopacket.Payload("GET / HTTP/1.1\r\n\r\n")),
		frame(ethernet(layers.EthernetTypeIPv4), options, tcp(options)),
		frame(ethernet(layers.EthernetTypeIPv4), first, udp(first), gopacket.Payload("12345678")),
		frame(ethernet(layers.EthernetTypeIPv4), rest, gopacket.Payload("the rest of a datagram")),
		frame(ethernet(layers.EthernetTypeIPv4), ip(layers.IPProtocolICMPv4), unreachable, quoted, tcp(quoted)),
		frame(ethernet(layers.EthernetTypeARP), &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: own, SourceProtAddress: from.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: to.AsSlice(),
		}),
	}
}

// spoil is one of the frames with something wrong: cut short, bytes changed, a
// length that lies, or noise behind an Ethernet header. The addresses stay, so
// that it reaches the code behind the first look.
func spoil(random *rand.Rand, frames [][]byte) []byte {
	const ethernet, ipv4 = 14, 20
	f := bytes.Clone(frames[random.IntN(len(frames))])
	switch random.IntN(5) {
	case 0:
		return f[:ethernet+random.IntN(len(f)-ethernet)]
	case 1:
		f[ethernet] = 0x40 | byte(random.IntN(16)) // the header's length
	case 2:
		binary.BigEndian.PutUint16(f[ethernet+2:], uint16(random.Uint32())) // the packet's length
	case 3:
		for range 1 + random.IntN(4) {
			at := random.IntN(len(f) - ethernet - ipv4)
			f[ethernet+ipv4+at] = byte(random.Uint32())
		}
	default:
		for i := ethernet; i < len(f); i++ {
			f[i] = byte(random.Uint32())
		}
	}
	return f
}

// sendRaw sends n frames out of an interface.
func sendRaw(t *testing.T, ns *lab.Namespace, link string, n int, next func() []byte) {
	t.Helper()
	must(t, ns.Do(func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		conn, err := packet.Listen(ifi, packet.Raw, 0, nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		for range n {
			f := next()
			if _, err := conn.WriteTo(f, &packet.Addr{HardwareAddr: net.HardwareAddr(f[:6])}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Another machine on the link has the VIP: the director says so, and which. It
// may have been there before, or come later and announce itself.
func TestVIPOwnedByAnother(t *testing.T) {
	begin(t)
	for _, before := range []bool{true, false} {
		c := newCourse(t, lab.CourseOptions{Clients: 2})
		other, vip := c.Clients[1], netip.PrefixFrom(lab.VIP, 32)
		if before {
			must(t, other.AddAddr(lab.ClientLink, vip))
		}
		d := courseDirector(t, c)
		balance(d, c)
		if !before {
			must(t, other.Sysctl("net.ipv4.conf.eth0.arp_notify", "1"), other.AddAddr(lab.ClientLink, vip),
				other.SetUp(lab.ClientLink, false), other.SetUp(lab.ClientLink, true))
		}
		checkConflictNamed(t, d, other)
	}
}

func checkConflictNamed(t *testing.T, d *director, other *lab.Namespace) {
	t.Helper()
	await(t, "the director names the other machine", 5*time.Second, func() bool {
		return d.log.contains("another machine claims the VIP") &&
			d.log.contains(lab.VIP.String()) && d.log.contains(macOf(t, other, lab.ClientLink))
	})
}

// Control clients that stall hold up nobody.
func TestStallingControlClients(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	for _, said := range []string{
		"", "P", "POST /v1/", "POST / HTTP/1.1\r\nHost: natlb\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"ch",
		"\x00\x01\x02\r\n\r\n",
	} {
		for range 20 {
			conn, err := net.Dial("unix", d.socket)
			must(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(said))
			must(t, err)
		}
	}
	for i := range 50 {
		began := time.Now()
		d.ctl("-L -n")
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("command %d beside stalling clients took %v", i+1, took)
		}
	}
	d.ctl("-A -t 192.168.0.178:81 -s wlc")
	checkBalanced(t, c)
	d.stop()
}

// systemd is told when the director is ready and when it stops.
func TestNotify(t *testing.T) {
	begin(t)
	path := socketPath(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	said := func() string {
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("waiting for the director's word: %v", err)
		}
		return string(buf[:n])
	}
	c := newCourse(t, lab.CourseOptions{})
	d := launchWith(t, c.Director, socketPath(t), []string{"NOTIFY_SOCKET=" + path}, "--vip-if", lab.VIPLink, "--dip-if", lab.DIPLink)
	if got := said(); got != "READY=1" {
		t.Errorf("the director's first word to systemd = %q, want READY=1", got)
	}
	d.ctl("-L -n")
	d.stop()
	if got := said(); got != "STOPPING=1" {
		t.Errorf("the director's last word to systemd = %q, want STOPPING=1", got)
	}
}
