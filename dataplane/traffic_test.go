package dataplane_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// traffic drives a director with few services and servers with whatever comes,
// so that everything meets everything.
type traffic struct {
	*world
	seen [][]byte // frames that the director sent, to answer or repeat
	one  func()   // called after each batch; then batches are of one frame
}

var (
	someServices = []string{"-t 10.10.1.1:80", "-t 10.10.1.1:443", "-u 10.10.1.1:80", "-t 10.10.1.2:80"}
	someServers  = []string{"10.20.0.11:80", "10.20.0.11:8080", "10.20.0.12:80"}
	somePlaces   = []string{"10.10.3.1", "10.10.3.2", "10.10.1.1", "10.10.1.2", "10.20.0.11", "10.20.0.12", "10.20.0.1", "224.0.0.1", "192.0.2.1", "127.0.0.1"}
	somePorts    = []uint16{20, 80, 443, 8080, 4000, 4001}
)

// TestRandomTraffic checks after every step that verdicts and counts add up,
// and at the end that nothing is left.
func TestRandomTraffic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := traffic{world: newWorld(func(c *dataplane.Config) {
			c.MaxConns = rapid.SampledFrom([]int{0, 3, 8}).Draw(t, "max conns")
			c.NoRoute = rapid.Bool().Draw(t, "no route")
			c.Links[dipLink].Caps.Offload = rapid.Bool().Draw(t, "offload")
			if rapid.Bool().Draw(t, "limits") {
				c.ICMP = dataplane.DefaultICMPLimits
			}
		})}
		w.change(t)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := w.ledger(); err != nil {
					t.Fatal(err)
				}
			},
			"change": w.change,
			"host":   w.changeHost,
			"packet": w.packet,
			"flow":   w.flow,
			"answer": w.answer,
			"noise":  w.noise,
			"time": func(t *rapid.T) {
				w.now += rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 5 * time.Second, 31 * time.Second, 3 * time.Minute}).Draw(t, "pause")
				w.housekeep()
				w.send()
			},
		})
		w.settle()
		if err := w.leftovers(); err != nil {
			t.Fatal(err)
		}
	})
}

// send processes frames as one batch and remembers what came out.
func (w *traffic) send(fs ...dataplane.Frame) {
	if w.one != nil && len(fs) > 1 {
		for _, f := range fs {
			w.send(f)
		}
		return
	}
	w.batch(fs...)
	if w.one != nil {
		w.one()
	}
	for _, f := range w.shard.Output() {
		if len(w.seen) < 64 && len(f.Data) < 2000 {
			w.seen = append(w.seen, slices.Clone(f.Data))
		}
	}
}

// change applies a random transaction. One that is refused must leave
// everything as it was.
func (w *traffic) change(t *rapid.T) {
	line := rapid.Custom(func(t *rapid.T) string {
		service := rapid.SampledFrom(someServices).Draw(t, "service")
		server := rapid.SampledFrom(someServers).Draw(t, "server")
		scheduler := rapid.SampledFrom([]string{"rr", "wrr", "wlc", "sh", "lblc"}).Draw(t, "scheduler")
		tunnel := rapid.SampledFrom([]string{" -i", " -i --tun-type gre --tun-csum", " -i --tun-type gue --tun-port 6080"}).Draw(t, "tunnel")
		numbers := fmt.Sprintf("-w %d -x %d", rapid.IntRange(0, 2).Draw(t, "w"), rapid.IntRange(0, 3).Draw(t, "x"))
		return rapid.SampledFrom([]string{
			"-A " + service + " -s " + scheduler, "-A " + service + " -s " + scheduler, "-E " + service + " -s " + scheduler, "-D " + service,
			"-a " + service + " -r " + server + " -m " + numbers, "-a " + service + " -r " + server + " -m " + numbers,
			"-a " + service + " -r " + server + " -g", "-a " + service + " -r " + server + tunnel, "-e " + service + " -r " + server + tunnel, "-e " + service + " -r " + server + " -m " + numbers, "-d " + service + " -r " + server,
			"-C", "-Z", "--set 5 6 7",
		}).Draw(t, "line")
	})
	before := w.dir.Services()
	text := ""
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		text += line.Draw(t, "line") + "\n"
	}
	if err := w.rules(text); err != nil {
		if diff := cmp.Diff(before, w.dir.Services(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Fatalf("%q was refused (%v) and changed (-before +after):\n%s", text, err, diff)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "sysctl") == 0 {
		setting := rapid.SampledFrom([]string{"expire_nodest_conn", "conn_reuse_mode", "sloppy_tcp", "secure_tcp", "pmtu_disc"}).Draw(t, "name")
		w.sysctl(setting, rapid.SampledFrom([]string{"0", "1", "3"}).Draw(t, "value")) // refused ones change nothing
	}
}

func (w *traffic) changeHost(t *rapid.T) {
	w.setHost(func(h *packettest.Host) {
		h.Links[dipLink].MTU = rapid.SampledFrom([]int{1500, 576, 68}).Draw(t, "mtu")
		for _, a := range somePlaces {
			h.Neighbours[netip.MustParseAddr(a)] = packettest.Neighbour(rapid.IntRange(0, 3).Draw(t, "neighbour"))
		}
		h.Locals[netip.MustParseAddr("10.10.1.2")] = rapid.Bool().Draw(t, "local")
		h.Links[vipLink].Forwarding = rapid.Bool().Draw(t, "forwarding")
	})
}

// packet sends any packet from anywhere, perhaps in pieces or as a super-packet.
func (w *traffic) packet(t *rapid.T) {
	link := uint8(rapid.IntRange(0, 1).Draw(t, "link"))
	p := w.from(link, w.drawPacket(t))
	if p.Proto == 1 && rapid.Bool().Draw(t, "error") {
		p.Type = rapid.SampledFrom([]uint8{3, 4, 5, 11, 12}).Draw(t, "type")
		p.Payload = w.drawPacket(t).Frame()[14:]
		p.Payload = p.Payload[:min(len(p.Payload), rapid.IntRange(0, 64).Draw(t, "quoted"))]
	}
	b := p.Frame()
	if len(b) > 34+len(p.IPOptions) && rapid.IntRange(0, 3).Draw(t, "fragmented") == 0 {
		var fs []dataplane.Frame
		pieces := packettest.Fragments(b, 8*rapid.IntRange(1, 100).Draw(t, "eights"))
		for range min(len(pieces)+1, 40) {
			fs = append(fs, frame(link, slices.Clone(rapid.SampledFrom(pieces).Draw(t, "piece"))))
		}
		w.send(fs...)
		return
	}
	f := frame(link, b)
	if (p.Proto == 6 || p.Proto == 17 || p.Proto == 132) && len(p.IPOptions) == 0 && rapid.Bool().Draw(t, "partial") {
		f = packettest.Partial(b, rapid.SampledFrom([]int{0, 1, 100, 1448, 9000}).Draw(t, "gso"))
		f.Link = link
	}
	w.send(f)
}

// someChunks are what SCTP packets carry; "" stands for bytes that are no chunk.
var someChunks = []string{
	"INIT", "INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK", "DATA", "COOKIE_ECHO+ABORT", "SHUTDOWN", "SHUTDOWN_ACK", "SHUTDOWN_COMPLETE",
	"ABORT", "ERROR", "",
}

func (w *traffic) drawPacket(t *rapid.T) packettest.Packet {
	place := func(name string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(rapid.SampledFrom(somePlaces).Draw(t, name)), rapid.SampledFrom(somePorts).Draw(t, name+" port"))
	}
	p := packettest.Packet{
		Src: place("src"), Dst: place("dst"), Proto: rapid.SampledFrom([]uint8{6, 17, 1, 6, 17, 132, 47}).Draw(t, "proto"),
		TTL: rapid.SampledFrom([]uint8{64, 64, 1, 2, 255}).Draw(t, "ttl"), DF: rapid.Bool().Draw(t, "df"), ID: rapid.Uint16Range(0, 3).Draw(t, "id"),
		Flags:   rapid.SampledFrom([]string{"S", "S", "A", "SA", "PA", "FA", "R", "RA", "", "FSRPAU"}).Draw(t, "flags"),
		Chunks:  rapid.SampledFrom(someChunks).Draw(t, "chunks"),
		Payload: make([]byte, rapid.SampledFrom([]int{0, 1, 9, 600, 1460, 5000, 60000}).Draw(t, "length")),
		BadSum:  rapid.IntRange(0, 9).Draw(t, "bad") == 0, Type: 8,
	}
	if rapid.IntRange(0, 5).Draw(t, "options") == 0 {
		p.IPOptions = rapid.SampledFrom([][]byte{{0x94, 4, 0, 0}, {1, 1, 1, 0}, {7, 200, 0, 0}, make([]byte, 40)}).Draw(t, "ip options")
	}
	return p
}

// flow sends what a well-behaved client would.
func (w *traffic) flow(t *rapid.T) {
	p := packettest.Packet{
		Src: netip.AddrPortFrom(netip.MustParseAddr("10.10.3.1"), rapid.Uint16Range(4000, 4006).Draw(t, "port")),
		Dst: netip.AddrPortFrom(netip.MustParseAddr("10.10.1.1"), 80), Proto: rapid.SampledFrom([]uint8{6, 6, 17, 132}).Draw(t, "proto"),
		Chunks: rapid.SampledFrom([]string{"INIT", "COOKIE_ECHO", "DATA", "SHUTDOWN"}).Draw(t, "chunks"),
		Flags:  rapid.SampledFrom([]string{"S", "A", "PA", "FA"}).Draw(t, "flags"), DF: true,
	}
	w.send(frame(vipLink, w.from(vipLink, p).Frame()))
}

// answer turns a frame of the director round, as the station that got it might,
// or lets that station complain about it.
func (w *traffic) answer(t *rapid.T) {
	if len(w.seen) == 0 {
		t.Skip("nothing to answer")
	}
	b := slices.Clone(rapid.SampledFrom(w.seen).Draw(t, "frame"))
	if binary.BigEndian.Uint16(b[12:]) != 0x0800 || len(b) < 38 {
		return
	}
	link := uint8(vipLink)
	if b[30] == 10 && b[31] == 20 {
		link = dipLink
	}
	src, dst := netip.AddrFrom4([4]byte(b[30:34])), netip.AddrFrom4([4]byte(b[26:30]))
	if rapid.IntRange(0, 4).Draw(t, "complain") == 0 {
		p := packettest.Packet{
			Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0), Proto: 1,
			Type: rapid.SampledFrom([]uint8{3, 4, 11, 12}).Draw(t, "type"), Payload: b[14:min(len(b), 14+rapid.SampledFrom([]int{36, 64, 100}).Draw(t, "quoted"))],
			Code: rapid.SampledFrom([]uint8{1, 4}).Draw(t, "code"), Rest: rapid.SampledFrom([]uint32{0, 600, 1400}).Draw(t, "mtu"),
		}
		w.send(frame(link, w.from(link, p).Frame()))
		return
	}
	copy(b[26:30], src.AsSlice())
	copy(b[30:34], dst.AsSlice())
	b[22] = 64
	if header := 14 + int(b[14]&15)*4; len(b) >= header+20 {
		b[header], b[header+1], b[header+2], b[header+3] = b[header+2], b[header+3], b[header], b[header+1]
		if b[23] == 6 {
			b[header+13] = rapid.SampledFrom([]byte{0x12, 0x10, 0x11, 0x04, 0x18}).Draw(t, "flags")
		}
	}
	packettest.FixIPv4Checksum(b)
	w.send(frame(link, b))
}

// noise sends a packet with bytes knocked over, lengths that lie and metadata
// that means nothing.
func (w *traffic) noise(t *rapid.T) {
	link := uint8(rapid.IntRange(0, 1).Draw(t, "link"))
	b := w.from(link, w.drawPacket(t)).Frame()
	if len(b) > 2000 {
		b = b[:2000]
	}
	for range rapid.IntRange(0, 4).Draw(t, "flips") {
		b[rapid.IntRange(0, min(len(b)-1, 80)).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
	}
	if rapid.Bool().Draw(t, "fix") {
		b[12], b[13], b[14] = 8, 0, 0x45+b[14]&3
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		if len(b) > 14+int(b[14]&15)*4 {
			packettest.FixIPv4Checksum(b)
		}
	}
	f := frame(link, b[:rapid.IntRange(0, len(b)).Draw(t, "length")])
	f.Offload = dataplane.Offload{
		Flags: rapid.Uint8Range(0, 3).Draw(t, "flags"), GSO: rapid.SampledFrom([]uint8{0, 0, 1, 3, 4, 5, 0x81}).Draw(t, "gso"),
		GSOSize: rapid.SampledFrom([]uint16{0, 1, 1448, 65535}).Draw(t, "size"), CsumStart: rapid.Uint16().Draw(t, "start"),
		CsumOffset: rapid.SampledFrom([]uint16{6, 16, 0, 65535}).Draw(t, "offset"), HdrLen: rapid.Uint16().Draw(t, "header"),
	}
	f.Type = dataplane.PacketType(rapid.Uint8Range(0, 7).Draw(t, "kind"))
	w.send(f)
}
