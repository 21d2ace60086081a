package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"natlb/rewrite"
)

const strangerIP = "10.9.0.77" // on the subnet, owned by nobody

// rawFrame builds an Ethernet frame of n bytes.
func rawFrame(dst, src net.HardwareAddr, etherType uint16, n int) []byte {
	b := make([]byte, n)
	copy(b, dst)
	copy(b[6:], src)
	binary.BigEndian.PutUint16(b[12:], etherType)
	return b
}

// udpFrame builds a minimal UDP datagram from host i to its neighbour in a frame
// of n bytes, with good lengths and IP checksum, without UDP checksum.
func (l *wireLab) udpFrame(dst, src net.HardwareAddr, to net.IP, n int) []byte {
	b := rawFrame(dst, src, etherTypeIPv4, n)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(n-14))
	copy(ip[12:], []byte{10, 9, 0, 88})
	copy(ip[16:], to.To4())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(ip[20:], 9)
	binary.BigEndian.PutUint16(ip[22:], 9)
	binary.BigEndian.PutUint16(ip[24:], uint16(n-34))
	return b
}

// portTests hold for a Port of either way to receive.
var portTests = []struct {
	name string
	test func(t *testing.T)
}{
	{"ReceivesUDP", testReceivesUDP},
	{"RecvLeavesLink", testRecvLeavesLink},
	{"Oldest", testOldest},
	{"SYNHasPartialChecksum", testSYNHasPartialChecksum},
	{"ForwardsTCPStream", testForwardsTCPStream},
	{"DoesNotSeeItsOwnFrames", testDoesNotSeeItsOwnFrames},
	{"VLAN", testVLAN},
	{"SetFilter", testSetFilter},
	{"FilterFollowsMTU", testFilterFollowsMTU},
	{"LinkDownAndUp", testLinkDownAndUp},
	{"SuperPacketsAcrossLinkDown", testSuperPacketsAcrossLinkDown},
	{"OpensOnLinkThatIsDown", testOpensOnLinkThatIsDown},
	{"SurvivesUnknownSegmentation", testSurvivesUnknownSegmentation},
	{"VanishedLink", testVanishedLink},
	{"GoneAfterDown", testGoneAfterDown},
	{"SendSkipsRefusedFrames", testSendSkipsRefusedFrames},
	{"SendsNeighboursTogether", testSendsNeighboursTogether},
	{"SendIsBoundedWhenStuck", testSendIsBoundedWhenStuck},
	{"StatsCountDrops", testStatsCountDrops},
	{"DoesNotAllocate", testDoesNotAllocate},
	{"Close", testClose},
}

// TestAFPacket runs the tests with the socket's queue alone and with a ring.
func TestAFPacket(t *testing.T) {
	defer func(old int) { testSlots = old }(testSlots)
	for _, slots := range []int{0, 512} {
		testSlots = slots
		for _, tt := range portTests {
			t.Run(fmt.Sprintf("%d slots/%s", slots, tt.name), tt.test)
		}
	}
}

func testReceivesUDP(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("payload")); err != nil {
		t.Fatal(err)
	}
	f := l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
	if got, want := f.Data[42:], []byte("payload"); !bytes.Equal(got, want) {
		t.Errorf("payload = %q, want %q", got, want)
	}
	if f.WireLen != 49 || f.Type != ToHost || f.Tagged {
		t.Errorf("WireLen, Type, Tagged = %d, %d, %t, want 49, %d, false", f.WireLen, f.Type, f.Tagged, ToHost)
	}
	want := Offload{Flags: OffloadNeedsCsum, CsumStart: 34, CsumOffset: 6}
	if diff := cmp.Diff(want, f.Offload); diff != "" {
		t.Errorf("Offload of a UDP datagram (-want +got):\n%s", diff)
	}
}

func testRecvLeavesLink(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	fs := []Frame{{Link: 3, Tagged: true, VLAN: 9, Offload: Offload{GSO: GSOUDPL4, GSOSize: 9}}}
	f := l.next(p, fs)[0]
	if f.Link != 3 || f.Tagged || f.VLAN != 0 || f.Offload.GSO != 0 {
		t.Errorf("Recv left Link %d, Tagged %t, VLAN %d, GSO %d; want 3, false, 0, 0", f.Link, f.Tagged, f.VLAN, f.Offload.GSO)
	}
}

func testSYNHasPartialChecksum(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	var fd int
	var err error
	l.on(0, func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0) })
	l.must(err)
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte(net.ParseIP(strangerIP).To4())})
	if !errors.Is(err, unix.EINPROGRESS) {
		t.Fatalf("connect = %v, want EINPROGRESS", err)
	}
	f := l.nextMatching(p, isIPv4(unix.IPPROTO_TCP))
	want := Offload{Flags: OffloadNeedsCsum, CsumStart: 34, CsumOffset: 16}
	if diff := cmp.Diff(want, f.Offload); diff != "" {
		t.Errorf("Offload of a SYN (-want +got):\n%s", diff)
	}
	if !f.Offload.Partial() || f.Offload.Super() {
		t.Errorf("SYN: Partial, Super = %t, %t, want true, false", f.Offload.Partial(), f.Offload.Super())
	}
}

// testForwardsTCPStream makes a wire of two Ports between two real
// kernels: a stream through it is right only if metadata and super-packets pass
// both ways unharmed.
func testForwardsTCPStream(t *testing.T) {
	const size = 16 << 20
	l := newWireLab(t, 2)
	ports := [2]*AFPacket{l.open(0, AFPacketConfig{}), l.open(1, AFPacketConfig{})}
	// Hosts address each other's MACs; to the near ends those are other hosts'.
	for _, p := range ports {
		l.must(p.SetFilter(mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: wholeFrame}})))
	}
	var ln net.Listener
	var err error
	l.on(1, func() { ln, err = net.Listen("tcp4", "10.9.0.2:8080") })
	l.must(err)
	defer ln.Close()
	// Dial would wait for the wire to be forwarded by this very goroutine.
	var fd int
	l.on(0, func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0) })
	l.must(err)
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{10, 9, 0, 2}})
	if !errors.Is(err, unix.EINPROGRESS) {
		t.Fatalf("connect = %v, want EINPROGRESS", err)
	}

	sum := make(chan []byte, 1)
	go func() {
		defer close(sum)
		c, err := ln.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		got, err := io.ReadAll(io.LimitReader(c, size))
		if err != nil {
			t.Errorf("server read: %v", err)
		}
		sum <- got
	}()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	go func() {
		file.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := file.Write(data); err != nil {
			t.Errorf("client write: %v", err)
		}
	}()
	got, largest := l.wire(ports, sum)
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes arrived and differ from the %d sent", len(got), len(data))
	}
	if largest.WireLen <= 1514 || largest.Offload.GSO != GSOTCPv4 || int(largest.WireLen) != len(largest.Data) {
		t.Errorf("largest frame: WireLen %d, captured %d, GSO %d; want a whole TCPv4 super-packet",
			largest.WireLen, len(largest.Data), largest.Offload.GSO)
	}
	for _, p := range ports {
		if st := p.Stats(); st.SendFail != 0 || st.Dropped != 0 || st.Received == 0 {
			t.Errorf("%s: Stats() = %+v, want no losses", p.Name(), st)
		}
	}
}

// wire forwards between two Ports until something arrives on done, and returns
// that and the largest frame that was seen. It writes into the room in front of
// each frame, which must harm nothing.
func (l *wireLab) wire(ports [2]*AFPacket, done <-chan []byte) (got []byte, largest Frame) {
	l.tb.Helper()
	fs := make([]Frame, DefaultBatch)
	fds := []unix.PollFd{{Fd: int32(ports[0].FD()), Events: unix.POLLIN}, {Fd: int32(ports[1].FD()), Events: unix.POLLIN}}
	for end := time.Now().Add(25 * time.Second); time.Now().Before(end); {
		for i, from := range ports {
			n, err := from.Recv(fs)
			l.must(err)
			for _, f := range fs[:n] {
				if f.WireLen > largest.WireLen {
					largest = f
				}
				room := f.front(rewrite.MaxTunnelOverhead, len(f.Data))
				if room == nil {
					l.tb.Fatalf("%s: %d bytes in front of a frame of %d", from.Name(), len(f.Head), len(f.Data))
				}
				for i := range rewrite.MaxTunnelOverhead {
					room[i] = 0xee
				}
			}
			k, err := ports[1-i].Send(fs[:n])
			l.must(err)
			if k != n {
				l.tb.Fatalf("%s: Send(%d frames) = %d", ports[1-i].Name(), n, k)
			}
		}
		select {
		case got := <-done:
			return got, largest
		default:
		}
		if _, err := unix.Poll(fds, 20); err != nil && err != unix.EINTR {
			l.tb.Fatal(err)
		}
	}
	l.tb.Fatal("the stream did not finish within 25 s")
	return nil, Frame{}
}

func testDoesNotSeeItsOwnFrames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option int // PACKET_IGNORE_OUTGOING: without it the Port must sort them out itself
	}{{"kernel ignores outgoing", 1}, {"kernel shows outgoing", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWireLab(t, 1)
			p := l.open(0, AFPacketConfig{})
			l.must(p.SetFilter(mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: wholeFrame}})))
			if _, err := setPacketOption(p.FD(), unix.PACKET_IGNORE_OUTGOING, tt.option); err != nil {
				t.Fatal(err)
			}
			near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
			out := []Frame{{Data: l.udpFrame(far, near, l.hosts[0].ip.AsSlice(), 60)}}
			if n, err := p.Send(out); n != 1 || err != nil {
				t.Fatalf("Send = %d, %v, want 1, nil", n, err)
			}
			// The frame that proves the end of the queue is the other side's.
			l.neighbour(0, strangerIP, near)
			if _, err := l.udp(0, strangerIP).Write([]byte("after")); err != nil {
				t.Fatal(err)
			}
			fs := make([]Frame, 8)
			for {
				for _, f := range l.next(p, fs) {
					if f.Type == Outgoing || bytes.Equal(f.Data[6:12], near) {
						t.Fatalf("captured an own frame: type %d, %x", f.Type, f.Data)
					}
					if bytes.HasSuffix(f.Data, []byte("after")) {
						return
					}
				}
			}
		})
	}
}

// taggedFrame is a frame whose 802.1Q tag is still in the data; the receiving
// kernel moves it to metadata.
func (l *wireLab) taggedFrame(vlan uint16) []byte {
	plain := l.udpFrame(l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr, net.ParseIP(strangerIP), 60)
	b := append([]byte(nil), plain[:12]...)
	b = binary.BigEndian.AppendUint16(b, 0x8100)
	b = binary.BigEndian.AppendUint16(b, vlan)
	return append(b, plain[12:]...)
}

func testVLAN(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{Filter: filterTagged()})
	var far *AFPacket
	var err error
	l.on(0, func() { far, err = OpenAFPacket(AFPacketConfig{Interface: "eth0"}) })
	l.must(err)
	defer far.Close()
	const tci = 3<<13 | 7
	tagged := []Frame{{Data: l.taggedFrame(tci)}}
	send := func() {
		t.Helper()
		if n, err := far.Send(tagged); n != 1 || err != nil {
			t.Fatalf("Send(tagged) = %d, %v, want 1, nil", n, err)
		}
	}
	send()
	f := l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
	if !f.Tagged || f.VLAN != tci {
		t.Errorf("Tagged, VLAN = %t, %#x, want true, %#x", f.Tagged, f.VLAN, tci)
	}
	if len(f.Data) != 60 || f.WireLen != 60 {
		t.Errorf("captured %d bytes of %d, want 60 of 60: the tag is in the metadata", len(f.Data), f.WireLen)
	}

	l.must(p.SetFilter(FilterIPv4ARP()))
	send()
	tagged[0].Data = l.udpFrame(l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr, net.ParseIP(strangerIP), 61)
	send()
	if f := l.nextMatching(p, isIPv4(unix.IPPROTO_UDP)); f.Tagged || len(f.Data) != 61 {
		t.Errorf("after the tagged frame: Tagged %t, %d bytes; want the untagged frame of 61 alone", f.Tagged, len(f.Data))
	}
}

func TestFilterIPv4ARP(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	var far *AFPacket
	var err error
	l.on(0, func() { far, err = OpenAFPacket(AFPacketConfig{Interface: "eth0"}) })
	l.must(err)
	defer far.Close()
	to, from := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	other := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	cast := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	// The lengths tell the frames apart.
	frames := []Frame{
		{Data: rawFrame(to, from, 0x86dd, 60)},
		{Data: rawFrame(other, from, etherTypeIPv4, 61)},
		{Data: rawFrame(to, from, etherTypeIPv4, 62)},
		{Data: rawFrame(to, from, 0x88cc, 63)},
		{Data: l.taggedFrame(5)},
		{Data: rawFrame(cast, from, etherTypeARP, 65)},
		{Data: rawFrame(net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, from, etherTypeIPv4, 66)},
		{Data: rawFrame(to, from, etherTypeARP, 67)},
	}
	if n, err := far.Send(frames); n != len(frames) || err != nil {
		t.Fatalf("Send = %d, %v, want %d, nil", n, err, len(frames))
	}
	type seen struct {
		Len  int
		Type PacketType
	}
	var got []seen
	fs := make([]Frame, 16)
	for len(got) < 4 {
		for _, f := range l.next(p, fs) {
			if bytes.Contains(f.Data, []byte{10, 9, 0, 1}) {
				continue // the host's own announcements
			}
			got = append(got, seen{len(f.Data), f.Type})
		}
	}
	want := []seen{{62, ToHost}, {65, Broadcast}, {66, Multicast}, {67, ToHost}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames that pass FilterIPv4ARP (-want +got):\n%s", diff)
	}
}

func testSetFilter(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{Filter: filterNothing()})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	c := l.udp(0, strangerIP)
	c.Write([]byte("unseen"))
	l.must(p.SetFilter(mustAssemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 23, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 1},
		bpf.RetConstant{Val: 44}, // keeps two bytes of payload
		bpf.RetConstant{Val: 0},
	})))
	c.Write([]byte("seen"))
	f := l.next(p, make([]Frame, 4))[0]
	if got := string(f.Data[42:]); got != "se" || f.WireLen != 46 {
		t.Errorf("frame kept to 44 bytes: payload %q, WireLen %d; want \"se\", 46", got, f.WireLen)
	}
	longest := make([]bpf.Instruction, 4096-len(withoutSuperSCTP(nil, 1500))) // a ring has some of its own
	for i := range longest {
		longest[i] = bpf.RetConstant{Val: wholeFrame}
	}
	if err := p.SetFilter(mustAssemble(longest)); err != nil && !errors.Is(err, unix.ENOMEM) {
		t.Errorf("SetFilter(%d instructions) = %v, want nil", len(longest), err)
	}
	for _, bad := range [][]bpf.RawInstruction{nil, make([]bpf.RawInstruction, 4097), {{Op: 0xffff}}} {
		if err := p.SetFilter(bad); !errors.Is(err, unix.EINVAL) {
			t.Errorf("SetFilter(%d bad instructions) = %v, want EINVAL", len(bad), err)
		}
	}
}

func testLinkDownAndUp(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	near := l.hosts[0].near
	out := []Frame{{Data: l.udpFrame(l.hosts[0].eth.Attrs().HardwareAddr, near.Attrs().HardwareAddr, l.hosts[0].ip.AsSlice(), 60)}}
	out = append(out, out[0], out[0])
	for round := range 2 {
		l.must(netlink.LinkSetDown(near))
		fs := make([]Frame, 8)
		if err := l.fault(p, fs); !errors.Is(err, ErrLinkDown) {
			t.Fatalf("round %d: Recv on a link that went down = %v, want ErrLinkDown", round, err)
		}
		l.drain(p)
		l.wantQuiet(p)
		before := p.Stats().SendFail
		if n, err := p.Send(out); n != 0 || !errors.Is(err, ErrLinkDown) {
			t.Fatalf("round %d: Send = %d, %v, want 0, ErrLinkDown", round, n, err)
		}
		if n, err := p.Send(out); n != 0 || err != nil {
			t.Fatalf("round %d: second Send = %d, %v, want 0, nil", round, n, err)
		}
		if got := p.Stats().SendFail - before; got != 6 {
			t.Errorf("round %d: SendFail grew by %d, want 6", round, got)
		}
		l.must(netlink.LinkSetUp(near))
		l.waitUp(0)
		l.neighbour(0, strangerIP, near.Attrs().HardwareAddr)
		if _, err := l.udp(0, strangerIP).Write([]byte("back")); err != nil {
			t.Fatal(err)
		}
		l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
		if n, err := p.Send(out); n != 3 || err != nil {
			t.Fatalf("round %d: Send after link up = %d, %v, want 3, nil", round, n, err)
		}
	}
}

// drain takes what is queued off p and reports how many frames that was.
func (l *wireLab) drain(p *AFPacket) (total int) {
	l.tb.Helper()
	fs := make([]Frame, 64)
	for {
		n, err := p.Recv(fs)
		l.must(err)
		if n == 0 {
			return total
		}
		total += n
	}
}

// wantQuiet fails when p's descriptor has an event pending: a loop that waits on
// it would spin.
func (l *wireLab) wantQuiet(p *AFPacket) {
	l.tb.Helper()
	fds := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
		l.tb.Errorf("%s: poll = %d events (%#x), %v, want none", p.Name(), n, fds[0].Revents, err)
	}
}

func testOpensOnLinkThatIsDown(t *testing.T) {
	l := newWireLab(t, 1)
	near := l.hosts[0].near
	l.must(netlink.LinkSetDown(near))
	p := l.open(0, AFPacketConfig{})
	if _, err := p.Recv(make([]Frame, 1)); !errors.Is(err, ErrLinkDown) {
		t.Errorf("Recv = %v, want ErrLinkDown", err)
	}
	l.must(netlink.LinkSetUp(near))
	l.waitUp(0)
	l.neighbour(0, strangerIP, near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("up")); err != nil {
		t.Fatal(err)
	}
	l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
}

func testVanishedLink(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	out := []Frame{{Data: make([]byte, 60)}, {Data: make([]byte, 60)}}
	l.must(netlink.LinkDel(l.hosts[0].near))
	fs := make([]Frame, 8)
	if _, err := p.Recv(fs); !errors.Is(err, ErrLinkGone) {
		t.Errorf("Recv on a deleted link = %v, want ErrLinkGone", err)
	}
	for range 3 {
		if n, err := p.Recv(fs); n != 0 || err != nil {
			t.Errorf("further Recv = %d, %v, want 0, nil", n, err)
		}
		l.wantQuiet(p)
	}
	if n, err := p.Send(out); n != 0 || !errors.Is(err, ErrLinkGone) {
		t.Errorf("Send = %d, %v, want 0, ErrLinkGone", n, err)
	}
	if n, err := p.Send(out); n != 0 || err != nil {
		t.Errorf("further Send = %d, %v, want 0, nil", n, err)
	}
	if got := p.Stats().SendFail; got != 4 {
		t.Errorf("SendFail = %d, want 4", got)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
}

// TestAFPacketGoneAfterDown: the kernel signals only the first of the two, and
// does so ahead of the frames that are still queued.
func testGoneAfterDown(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("queued")); err != nil {
		t.Fatal(err)
	}
	fds := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 5000); err != nil {
		t.Fatal(err)
	}
	l.must(netlink.LinkSetDown(l.hosts[0].near))
	fs := make([]Frame, 1)
	if p.ring != nil { // there the frames come first
		if l.next(p, fs)[0].WireLen == 0 {
			t.Error("the queued frame is lost")
		}
	}
	if err := l.fault(p, fs); !errors.Is(err, ErrLinkDown) {
		t.Errorf("Recv = %v, want ErrLinkDown", err)
	}
	if p.ring == nil && l.drain(p) == 0 {
		t.Error("the queued frame is lost")
	}
	l.must(netlink.LinkDel(l.hosts[0].near))
	if _, err := p.Recv(fs); !errors.Is(err, ErrLinkGone) {
		t.Errorf("Recv = %v, want ErrLinkGone", err)
	}
	if _, err := p.Recv(fs); err != nil {
		t.Errorf("Recv = %v, want nil", err)
	}
}

// TestAFPacketSendSkipsRefusedFrames: one bad frame costs only itself.
func testSendSkipsRefusedFrames(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{Batch: 4})
	far, near := l.hosts[0].eth.Attrs().HardwareAddr, l.hosts[0].near.Attrs().HardwareAddr
	good := Frame{Data: l.udpFrame(far, near, l.hosts[0].ip.AsSlice(), 60)}
	tooBig := Frame{Data: l.udpFrame(far, near, l.hosts[0].ip.AsSlice(), 2000)}
	badSum := Frame{Data: good.Data, Offload: Offload{Flags: OffloadNeedsCsum, CsumStart: 5000, CsumOffset: 6}}
	empty := Frame{}
	rx := func() uint64 {
		link, err := l.hosts[0].nl.LinkByName("eth0")
		l.must(err)
		return link.Attrs().Statistics.RxPackets
	}
	before := rx()
	fs := []Frame{tooBig, good, badSum, good, good, empty, tooBig, tooBig, good, good}
	if n, err := p.Send(fs); n != 5 || err != nil {
		t.Errorf("Send = %d, %v, want 5, nil", n, err)
	}
	if got := p.Stats().SendFail; got != 5 {
		t.Errorf("SendFail = %d, want 5", got)
	}
	if got := rx() - before; got < 5 || got > 7 { // the kernel's own IPv6 start-up chatter may add a little
		t.Errorf("the other side received %d frames, want 5", got)
	}
	if n, err := p.Send(nil); n != 0 || err != nil {
		t.Errorf("Send(nil) = %d, %v, want 0, nil", n, err)
	}
}

// testSendIsBoundedWhenStuck fills a slow link: Send waits a little, then
// drops, counts and does not wait again.
func testSendIsBoundedWhenStuck(t *testing.T) {
	l := newWireLab(t, 1)
	near := l.hosts[0].near
	err := netlink.QdiscAdd(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: near.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1000,      // bytes a second: a frame a second
		Limit:      1 << 20,   // bytes
		Buffer:     3e10 / 64, // burst: 3000 bytes, in ticks of 64 ns at that rate
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the kernel has no tbf queue: %v", err)
	}
	l.must(err)
	p := l.open(0, AFPacketConfig{SendBuffer: 64 << 10})
	fs := make([]Frame, 200)
	for i := range fs {
		fs[i].Data = l.udpFrame(l.hosts[0].eth.Attrs().HardwareAddr, near.Attrs().HardwareAddr, l.hosts[0].ip.AsSlice(), 1000)
	}
	start := time.Now()
	n, err := p.Send(fs)
	first := time.Since(start)
	if n == 0 || n == len(fs) || err != nil {
		t.Fatalf("Send(200 frames) on a stuck link = %d, %v, want some and nil", n, err)
	}
	if got, want := p.Stats().SendFail, uint64(len(fs)-n); got != want {
		t.Errorf("SendFail = %d, want %d", got, want)
	}
	if first < sendPatience/2 {
		t.Errorf("Send gave up after %v, want it to wait about %v for room", first, sendPatience)
	}
	if first > 2*time.Second {
		t.Errorf("Send took %v, want about %v", first, sendPatience)
	}
	if !p.out.stuck {
		t.Error("the Port does not remember that the link is stuck")
	}
	if n, err := p.Send(fs[:1]); n != 0 || err != nil {
		t.Errorf("Send on the stuck link = %d, %v, want 0, nil", n, err)
	}
	l.must(netlink.QdiscDel(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: near.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
	}))
	if n, err := p.Send(fs[:10]); n != 10 || err != nil {
		t.Errorf("Send on the freed link = %d, %v, want 10, nil", n, err)
	}
}

func testStatsCountDrops(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{RecvBuffer: 4096, Slots: min(32, testSlots)})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	c := l.udp(0, strangerIP)
	const sent = 100
	for range sent {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	first := p.Stats()
	if first.Dropped == 0 || first.Dropped >= sent || first.Received < sent {
		t.Errorf("Stats() = %+v, want at least %d received, some of them dropped", first, sent)
	}
	if second := p.Stats(); second.Received < first.Received || second.Dropped != first.Dropped {
		t.Errorf("Stats() = %+v, then %+v: the counters must accumulate", first, second)
	}
	kept := l.drain(p)
	if st := p.Stats(); uint64(kept) != st.Received-st.Dropped {
		t.Errorf("Recv got %d frames, Stats() = %+v", kept, st)
	}
}

// TestAFPacketWithoutVnetHeader runs both directions in the mode of a kernel
// without PACKET_VNET_HDR.
func TestAFPacketWithoutVnetHeader(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	for _, fd := range []int{p.rx, p.tx} {
		l.must(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 0))
	}
	p.in, p.out = newRecvBatch(8, 0), newSendBatch(8, false, false)
	near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	l.neighbour(0, strangerIP, near)
	if _, err := l.udp(0, strangerIP).Write([]byte("bare")); err != nil {
		t.Fatal(err)
	}
	f := l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
	if string(f.Data[42:]) != "bare" || f.WireLen != 46 || f.Offload != (Offload{}) {
		t.Errorf("payload %q, WireLen %d, Offload %+v; want \"bare\", 46, none", f.Data[42:], f.WireLen, f.Offload)
	}
	var c net.PacketConn
	var err error
	l.on(0, func() { c, err = net.ListenPacket("udp4", "10.9.0.1:9") })
	l.must(err)
	defer c.Close()
	if n, err := p.Send([]Frame{{Data: l.udpFrame(far, near, l.hosts[0].ip.AsSlice(), 80)}}); n != 1 || err != nil {
		t.Fatalf("Send = %d, %v, want 1, nil", n, err)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := c.ReadFrom(make([]byte, 100)); n != 38 || err != nil {
		t.Errorf("the host read %d bytes, %v, want 38, nil", n, err)
	}
}

func testDoesNotAllocate(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	l.must(p.SetFilter(mustAssemble([]bpf.Instruction{bpf.RetConstant{Val: wholeFrame}})))
	var peer *AFPacket
	var err error
	l.on(0, func() { peer, err = OpenAFPacket(AFPacketConfig{Interface: "eth0"}) })
	l.must(err)
	defer peer.Close()
	out, in := make([]Frame, 100), make([]Frame, 64)
	for i := range out {
		out[i].Data = l.udpFrame(near, far, net.ParseIP(strangerIP), 60)
	}
	total := 0
	round := func() {
		if n, err := peer.Send(out); n != len(out) || err != nil {
			t.Fatalf("Send = %d, %v, want %d, nil", n, err, len(out))
		}
		for range 3 { // the last one finds nothing
			n, err := p.Recv(in)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("Send and Recv allocate %v times a round, want 0", n)
	}
	if total < 100*len(out) {
		t.Errorf("received %d frames, want at least %d", total, 100*len(out))
	}
}

func testClose(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	f := l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
	done := make(chan error)
	go func() { done <- p.Close() }()
	l.must(<-done)
	if testSlots == 0 && string(f.Data[42:]) != "kept" { // a ring is gone by now
		t.Errorf("borrowed frame after Close = %q, want \"kept\"", f.Data[42:])
	}
	if _, err := p.Recv(make([]Frame, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Recv after Close = %v, want net.ErrClosed", err)
	}
	if _, err := p.Send([]Frame{f}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close = %v, want net.ErrClosed", err)
	}
	if err := p.SetFilter(filterNothing()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetFilter after Close = %v, want net.ErrClosed", err)
	}
	if st := p.Stats(); st.Received == 0 {
		t.Errorf("Stats after Close = %+v, want the last counters", st)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
}

func TestOpenAFPacketTeaches(t *testing.T) {
	l := newWireLab(t, 1)
	type openTest struct {
		name string
		cfg  AFPacketConfig
		want string
	}
	tests := []openTest{
		{"unknown name", AFPacketConfig{Interface: "nosuch0"}, `no interface "nosuch0" here; there are: lo, link0`},
		{"unknown index", AFPacketConfig{Index: 4711}, "no interface index 4711 here; there are: lo, link0"},
		{"loopback", AFPacketConfig{Interface: "lo"}, "lo is a loopback interface: natlb needs an Ethernet one"},
		{"batch", AFPacketConfig{Interface: "link0", Batch: 1025}, "batch of 1025 frames: 1 to 1024 are possible"},
		{"filter", AFPacketConfig{Interface: "link0", Filter: []bpf.RawInstruction{}}, "link0: packet filter of 0 instructions: invalid argument"},
		{"buffer", AFPacketConfig{Interface: "link0", RecvBuffer: -1}, "socket buffers of -1 and 4194304 bytes, ring of 0 slots: sizes are positive"},
	}
	// No subtests: they would leave this thread and its namespace.
	check := func(tt openTest) {
		t.Helper()
		p, err := OpenAFPacket(tt.cfg)
		if err == nil {
			p.Close()
			t.Errorf("%s: OpenAFPacket succeeded, want error %q", tt.name, tt.want)
		} else if got := err.Error(); got != tt.want {
			t.Errorf("%s: OpenAFPacket error\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range tests {
		check(tt)
	}
	err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN})
	switch {
	case err == nil:
		check(openTest{"no Ethernet", AFPacketConfig{Interface: "tun0"},
			"tun0 is not an Ethernet interface (hardware type 65534): natlb needs one with Ethernet headers"})
	case errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		t.Logf("not tried on a tun interface, the only one without Ethernet here: %v", err)
	default:
		t.Fatal(err)
	}
	p, err := OpenAFPacket(AFPacketConfig{Index: l.hosts[0].near.Attrs().Index})
	l.must(err)
	defer p.Close()
	if p.Name() != "link0" || p.Index() != l.hosts[0].near.Attrs().Index || !p.Caps().Offload {
		t.Errorf("Name, Index, Caps = %q, %d, %+v, want link0, %d, offload", p.Name(), p.Index(), p.Caps(), l.hosts[0].near.Attrs().Index)
	}
}

// withoutCapability runs f on this thread with one capability put aside.
func withoutCapability(t *testing.T, capability uint, f func()) {
	t.Helper()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&hdr, &had[0]); err != nil {
		t.Fatal(err)
	}
	reduced := had
	reduced[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&hdr, &reduced[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&hdr, &had[0]); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

func TestOpenAFPacketNeedsNetRaw(t *testing.T) {
	newWireLab(t, 1)
	withoutCapability(t, unix.CAP_NET_RAW, func() {
		p, err := OpenAFPacket(AFPacketConfig{Interface: "link0"})
		if err == nil {
			p.Close()
			t.Fatal("OpenAFPacket without CAP_NET_RAW succeeded")
		}
		const want = "packet socket on link0 needs CAP_NET_RAW: run as root, or: setcap cap_net_raw,cap_net_admin+ep natlb"
		if !errors.Is(err, unix.EPERM) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("OpenAFPacket without CAP_NET_RAW = %q, want EPERM and %q", err, want)
		}
	})
}

// TestOpenAFPacketFallsBackToLimits: without CAP_NET_ADMIN the sizes are capped,
// which is said, and the Port works all the same.
func TestOpenAFPacketFallsBackToLimits(t *testing.T) {
	l := newWireLab(t, 1)
	var log strings.Builder
	var p *AFPacket
	withoutCapability(t, unix.CAP_NET_ADMIN, func() {
		p = l.open(0, AFPacketConfig{RecvBuffer: 1 << 29, SendBuffer: 1 << 29, Log: slog.New(slog.NewTextHandler(&log, nil))})
	})
	for _, want := range []string{"level=WARN", "link=link0", "recv_wanted=536870912", "net.core.rmem_max, net.core.wmem_max"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log = %q, want %q in it", log.String(), want)
		}
	}
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	if _, err := l.udp(0, strangerIP).Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	l.nextMatching(p, isIPv4(unix.IPPROTO_UDP))
}

func TestOpenAFPacketSaysBufferSizes(t *testing.T) {
	l := newWireLab(t, 1)
	var log strings.Builder
	l.open(0, AFPacketConfig{RecvBuffer: 8 << 20, SendBuffer: 2 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "link=link0 ") {
		t.Errorf("log = %q, want one line about link0", got)
	}
	reached := strings.Contains(log.String(), "recv_bytes=8388608 send_bytes=2097152")
	warned := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "net.core.rmem_max")
	if reached == warned {
		t.Errorf("log = %q, want the sizes asked for, or a warning that names the limits", log.String())
	}
}

// filterTagged is FilterIPv4ARP without its rule about VLANs: tagged frames pass
// with their tag in Frame.VLAN.
func filterTagged() []bpf.RawInstruction {
	return mustAssemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(Multicast), SkipTrue: 4},
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv4, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: 1},
		bpf.RetConstant{Val: wholeFrame},
		bpf.RetConstant{Val: 0},
	})
}

// testSuperPacketsAcrossLinkDown takes the link down while super-packets wait: they
// come out whole, each with its own bytes, and so do those behind.
func testSuperPacketsAcrossLinkDown(t *testing.T) {
	if !segmentsDatagrams() {
		t.Skip("this kernel's packet sockets do not send datagrams as one")
	}
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	var peer *AFPacket
	var err error
	l.on(0, func() { peer, err = OpenAFPacket(AFPacketConfig{Interface: "eth0", Filter: filterNothing()}) })
	l.must(err)
	defer peer.Close()
	send := func(fill byte, n int) {
		t.Helper()
		var fs []Frame
		for i := range n {
			f := Frame{Data: l.udpFrame(near, far, net.ParseIP(strangerIP), 9000+100*i)}
			for k := range f.Data[42:] {
				f.Data[42+k] = fill + byte(i)
			}
			f.Offload = Offload{Flags: OffloadNeedsCsum, GSO: GSOUDPL4, GSOSize: 1000, HdrLen: 42, CsumStart: 34, CsumOffset: 6}
			fs = append(fs, f)
		}
		if k, err := peer.Send(fs); k != n || err != nil {
			t.Fatalf("Send = %d, %v", k, err)
		}
	}
	expect := func(fill byte, n int) {
		t.Helper()
		fs := make([]Frame, 2)
		for got := 0; got < n; {
			k, err := p.Recv(fs)
			if err != nil && !errors.Is(err, ErrLinkDown) {
				t.Fatal(err)
			}
			for _, f := range fs[:k] {
				if want := fill + byte(got); len(f.Data) != 9000+100*got || f.Data[42] != want || f.Data[len(f.Data)-1] != want {
					t.Fatalf("super-packet %d: %d bytes of %#x, want %d of %#x", got, len(f.Data), f.Data[42], 9000+100*got, want)
				}
				got++
			}
		}
	}
	send(0x10, 5)
	l.must(netlink.LinkSetDown(l.hosts[0].near))
	expect(0x10, 5)
	l.must(netlink.LinkSetUp(l.hosts[0].near))
	l.waitUp(0)
	send(0x50, 5)
	expect(0x50, 5)
}

// testSendsNeighboursTogether sends neighbouring packets of two streams, which go
// as super-packets where the kernel takes them: what comes is what was sent.
func testSendsNeighboursTogether(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{MergeDatagrams: true})
	var c net.PacketConn
	var err error
	l.on(0, func() { c, err = net.ListenPacket("udp4", "10.9.0.1:9") })
	l.must(err)
	defer c.Close()
	near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	for round := range 3 {
		const each = 10
		var fs []Frame
		for i := range each {
			for port := uint16(1); port <= 2; port++ {
				b := flowFrame(rewrite.ProtoUDP, port, uint16(i), 0, 100)
				copy(b, far)
				copy(b[6:], near)
				copy(b[26:], []byte{10, 9, 0, 88, 10, 9, 0, 1})
				binary.BigEndian.PutUint16(b[36:], 9)
				b[42], b[43] = byte(round), byte(i)
				sumFrame(b)
				fs = append(fs, Frame{Data: b, WireLen: uint32(len(b))})
			}
		}
		if n, err := p.Send(fs); n != 2*each || err != nil {
			t.Errorf("round %d: Send(%d datagrams) = %d, %v", round, 2*each, n, err)
		}
		next := map[string]byte{}
		for range 2 * each {
			var buf [2000]byte
			l.must(c.SetReadDeadline(time.Now().Add(2 * time.Second)))
			n, from, err := c.ReadFrom(buf[:])
			if err != nil {
				t.Fatalf("round %d: datagrams did not arrive: %v", round, err)
			}
			if n != 100 || buf[0] != byte(round) || buf[1] != next[from.String()] {
				t.Fatalf("round %d: %d bytes of datagram %d/%d from %v, want 100 of %d/%d",
					round, n, buf[0], buf[1], from, round, next[from.String()])
			}
			next[from.String()]++
		}
	}
	if st := p.Stats(); st.SendFail != 0 {
		t.Errorf("%d frames were refused", st.SendFail)
	}
}

// testSurvivesUnknownSegmentation lets datagrams come that go as one, which
// virtio's header could not express before Linux 6.2: they may be lost, what
// comes behind them not.
func testSurvivesUnknownSegmentation(t *testing.T) {
	l := newWireLab(t, 1)
	p := l.open(0, AFPacketConfig{})
	l.neighbour(0, strangerIP, l.hosts[0].near.Attrs().HardwareAddr)
	c := l.udp(0, strangerIP).(*net.UDPConn)
	raw, err := c.SyscallConn()
	l.must(err)
	segment := func(size int) {
		t.Helper()
		l.must(raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }))
		l.must(err)
	}
	fs := make([]Frame, 8)
	for round := range 3 {
		segment(100)
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		segment(0)
		last := fmt.Sprintf("behind %d", round)
		if _, err := c.Write([]byte(last)); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != last; {
			for _, f := range l.next(p, fs) {
				got = string(f.Data[min(42, len(f.Data)):])
			}
		}
	}
}
