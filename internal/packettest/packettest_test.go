package packettest

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"natlb/dataplane"

	"github.com/google/go-cmp/cmp"
)

var (
	client = netip.MustParseAddrPort("10.10.3.5:5402")
	vip    = netip.MustParseAddrPort("10.10.1.1:80")
)

// TestDescribeRecorded reads frames that a real director sent; the lines are
// those of the recording.
func TestDescribeRecorded(t *testing.T) {
	for _, tt := range []struct{ frame, want string }{
		{
			"02000000020102000000021108004500002c000040004006239f0a14000b0a0a03051f90151a5983238b000003e96012faf0d0560000020405b4",
			"10.20.0.11 > 10.10.3.5 ttl=64 DF TCP 8080>5402 SA seq=1501766539 ack=1001 len=0",
		},
		{
			"02000000010102000000010208004500002500054000401122aa0a0a03050a0a010113f00035001100006563686f207a65726f",
			"10.10.3.5 > 10.10.1.1 ttl=64 DF UDP 5104>53 len=9 nosum",
		},
	} {
		b, err := hex.DecodeString(tt.frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(b); got != tt.want {
			t.Errorf("Describe(%s)\n got %s\nwant %s", tt.frame, got, tt.want)
		}
		b[len(b)-1] ^= 1
		if got, bad := Describe(b), tt.want+" BADSUM"; got != bad && got != tt.want {
			t.Errorf("Describe of the frame with a flipped bit = %s", got)
		}
		b[22] ^= 1
		if got := Describe(b); got == tt.want {
			t.Errorf("Describe does not notice another TTL: %s", got)
		}
	}
}

// TestBuildersAndDescribe checks each against the other.
func TestBuildersAndDescribe(t *testing.T) {
	tcp := Packet{Src: client, Dst: vip, Proto: 6, Flags: "PA", Seq: 7, Ack: 9, DF: true, Payload: make([]byte, 5)}
	udp := Packet{Src: client, Dst: vip, Proto: 17, ID: 3, Payload: make([]byte, 20)}
	with := func(p Packet, change func(*Packet)) []byte { change(&p); return p.Frame() }
	super := Partial(with(tcp, func(p *Packet) { p.Payload = make([]byte, 3000) }), 1448)
	broken := Partial(tcp.Frame(), 0)
	broken.Data[50] ^= 1
	pieces := Fragments(udp.Frame(), 16)
	for _, tt := range []struct{ name, got, want string }{
		{"tcp", Describe(tcp.Frame()), "10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA seq=7 ack=9 len=5"},
		{"options", Describe(with(tcp, func(p *Packet) { p.IPOptions = []byte{7, 3, 4, 0}; p.TCPOptions = []byte{2, 4, 5, 180} })),
			"10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA seq=7 ack=9 len=5"},
		{"bad sum", Describe(with(tcp, func(p *Packet) { p.BadSum = true })), "10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA seq=7 ack=9 len=5 BADSUM"},
		{"bad header sum", Describe(with(udp, func(p *Packet) { p.BadIPSum = true })), "10.10.3.5 > 10.10.1.1 ttl=64 BADIPSUM UDP 5402>80 len=20"},
		{"bad udp sum", Describe(with(udp, func(p *Packet) { p.BadSum = true })), "10.10.3.5 > 10.10.1.1 ttl=64 UDP 5402>80 len=20 BADSUM"},
		{"no sum", Describe(with(udp, func(p *Packet) { p.ZeroSum = true })), "10.10.3.5 > 10.10.1.1 ttl=64 UDP 5402>80 len=20 nosum"},
		{"first fragment", Describe(pieces[0]), "10.10.3.5 > 10.10.1.1 ttl=64 frag off=0 MF UDP 5402>80 len=20"},
		{"last fragment", Describe(pieces[1]), "10.10.3.5 > 10.10.1.1 ttl=64 frag off=16 proto=17 len=12"},
		{"icmp error", Describe(Packet{Src: client, Dst: vip, Proto: 1, Type: 3, Code: 4, Rest: 1400, Payload: tcp.Frame()[14:50]}.Frame()),
			"10.10.3.5 > 10.10.1.1 ttl=64 ICMP type=3 code=4 rest=00000578 { 10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA (truncated) }"},
		{"echo", Describe(Packet{Src: client, Dst: vip, Proto: 1, Type: 8, Rest: 77<<16 | 1, BadSum: true}.Frame()),
			"10.10.3.5 > 10.10.1.1 ttl=64 ICMP type=8 code=0 id=77 seq=1 len=0 BADSUM"},
		{"other", Describe(Packet{Src: client, Dst: vip, Proto: 47, Payload: []byte{1}}.Frame()), "10.10.3.5 > 10.10.1.1 ttl=64 proto=47 len=1"},
		{"super", DescribeFrame(&super), "10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA seq=7 ack=9 len=3000 partial gso=1448"},
		{"bad partial", DescribeFrame(&broken), "10.10.3.5 > 10.10.1.1 ttl=64 DF TCP 5402>80 PA seq=7 ack=9 len=5 BADPARTIAL"},
		{"arp request", Describe(ARPRequest(MAC("02:00:00:00:00:01"), client.Addr(), vip.Addr())), "ARP who-has 10.10.1.1 tell 10.10.3.5 (02:00:00:00:00:01)"},
		{"arp reply", Describe(ARPReply(MAC("02:00:00:00:00:01"), vip.Addr(), MAC("02:00:00:00:00:02"), client.Addr())), "ARP 10.10.1.1 is-at 02:00:00:00:00:01"},
		{"short", Describe(make([]byte, 13)), "short"},
		{"short ip", Describe(tcp.Frame()[:33]), "short"},
		{"other ethertype", Describe(make([]byte, 14)), "ethertype=0000"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestHost(t *testing.T) {
	near, far := netip.MustParseAddr("10.20.0.11"), netip.MustParseAddr("192.0.2.1")
	router := netip.MustParseAddr("10.10.0.254")
	h := &Host{
		Links:  []dataplane.LinkState{{MTU: 1400}, {MTU: 1500}},
		Locals: map[netip.Addr]bool{netip.MustParseAddr("10.20.0.1"): true},
		Routes: []Route{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Kind: dataplane.HopForward, Via: router},
			{Prefix: netip.MustParsePrefix("10.20.0.0/24"), Kind: dataplane.HopForward, Link: 1},
		},
		Neighbours: map[netip.Addr]Neighbour{near: Failed},
	}
	number := func(a netip.Addr) uint32 {
		b := a.As4()
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	want := dataplane.Hop{Kind: dataplane.HopForward, Resolved: true, MTU: 1400, MAC: NeighbourMAC(router), Via: number(router)}
	if got := h.Lookup(number(far)); got != want {
		t.Errorf("Lookup(%v) = %+v, want %+v", far, got, want)
	}
	want = dataplane.Hop{Kind: dataplane.HopForward, Link: 1, Failed: true, MTU: 1500, Via: number(near)}
	if got := h.Lookup(number(near)); got != want {
		t.Errorf("Lookup(%v) = %+v, want %+v", near, got, want)
	}
	clone := h.Clone()
	clone.Neighbours[near], clone.Links[1].MTU = Reachable, 9000
	if got := h.Lookup(number(near)); got != want {
		t.Errorf("a change of the clone shows: %+v, want %+v", got, want)
	}
	if !h.IsLocal(0x0a140001) || h.IsLocal(0x0a140002) || h.Lookup(0x0a140001).Kind != dataplane.HopLocal {
		t.Error("the host does not know its own address")
	}
}

func TestPipe(t *testing.T) {
	a, b := Pipe(dataplane.Caps{Offload: true})
	sent := []byte{1, 2, 3}
	if n, err := a.Send([]dataplane.Frame{{Data: sent, Offload: dataplane.Offload{GSOSize: 5}}, {Data: []byte{4}}}); n != 2 || err != nil {
		t.Fatalf("Send = %d, %v", n, err)
	}
	sent[0] = 9 // the pipe has its own copy
	got := make([]dataplane.Frame, 1)
	if n, err := b.Recv(got); n != 1 || err != nil {
		t.Fatalf("Recv = %d, %v, want 1", n, err)
	}
	want := dataplane.Frame{Data: []byte{1, 2, 3}, WireLen: 3, Offload: dataplane.Offload{GSOSize: 5}}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("received frame (-want +got):\n%s", diff)
	}
	if n, _ := b.Recv(got); n != 1 || got[0].Data[0] != 4 {
		t.Errorf("the second frame did not follow")
	}
	if n, _ := a.Recv(got); n != 0 {
		t.Errorf("the sender receives %d frames of its own", n)
	}
	if n, _ := a.Send(make([]dataplane.Frame, laneFrames+5)); n != laneFrames {
		t.Errorf("Send into a full pipe = %d, want %d", n, laneFrames)
	}
	b.Close()
	if _, err := a.Send(nil); err != ErrClosed {
		t.Errorf("Send on a closed pipe = %v, want %v", err, ErrClosed)
	}
}
