package replay

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"natlb/internal/packettest"
)

const cornerRules = "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.20.0.11:8080 -m\n-a -t 192.0.2.10:80 -r 10.20.0.12:8080 -m\n" +
	"-A -u 192.0.2.10:53 -s rr\n-a -u 192.0.2.10:53 -r 10.20.0.11:5353 -m\n"

// corners are cases that are rare on the wire, one idea each.
var corners = []scene{
	{"fragments", cornerRules, playFragments},
	{"icmp-errors", cornerRules, playICMPErrors},
	{"reuse", cornerRules, playReuse},
	{"persistence", "-A -t 192.0.2.10:0 -s rr -p 300 -M 255.255.255.0\n-a -t 192.0.2.10:0 -r 10.20.0.11:0 -m\n-a -t 192.0.2.10:0 -r 10.20.0.12:0 -m\n", playPersistence},
	{"marks", "mark -A PREROUTING -d 192.0.2.10/32 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 7\n" +
		"-A -f 7 -s rr -p 300\n-a -f 7 -r 10.20.0.11 -m\n-a -f 7 -r 10.20.0.12 -m\n", playMarks},
	{"strangers", cornerRules, playStrangers},
	{"full", "-A -t 192.0.2.10:80 -s wlc\n-a -t 192.0.2.10:80 -r 10.20.0.11:8080 -m -x 2 -y 1\n", playFull},
	{"timeouts", "--set 60 10 5\n" + cornerRules, playTimeouts},
	{"no-server", "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.20.0.11:8080 -m -w 0\n-A -u 192.0.2.10:53 -s rr\n", playNoServer},
	{"direct-routing", "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.20.0.11:80 -g\n", playOneWay},
	{"tunnel", "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.20.0.11:80 -i --tun-type gue --tun-port 6080 --tun-csum\n", playOneWay},
	{"hostile", cornerRules, playHostile},
	{"late", cornerRules, playLate},
	{"locality", "mark -A PREROUTING -d 192.0.2.0/24 -p tcp -j MARK --set-mark 7\n" +
		"-A -f 7 -s lblc\n-a -f 7 -r 10.20.0.11 -m\n-a -f 7 -r 10.20.0.12 -m\n", playLocality},
}

// replyInPieces sends a server's datagram in fragments, the last one first.
func (s *stage) replyInPieces(server, client string, payload []byte) {
	p := packettest.Packet{Proto: 17, Src: ap(server), Dst: ap(client), Payload: payload, ID: 4711}
	pieces := packettest.Fragments(p.Frame(), 1480)
	for i := range pieces {
		s.put(DIPSide, pieces[len(pieces)-1-i])
	}
}

func (s *stage) questionInPieces(client, vip string, n int) [][]byte {
	p := packettest.Packet{Proto: 17, Src: ap(client), Dst: ap(vip), Payload: bytes.Repeat([]byte("q"), n), ID: 815}
	return packettest.Fragments(p.Frame(), 1480)
}

// playFragments: a datagram in three pieces out of order, one of which a piece
// never comes, and one that contradicts itself.
func playFragments(s *stage) {
	pieces := s.questionInPieces("198.51.100.1:5000", "192.0.2.10:53", 4000)
	for _, i := range []int{2, 0, 1} {
		s.put(VIPSide, pieces[i])
	}
	s.reply("10.20.0.11:5353", "198.51.100.1:5000", []byte("short"))
	pieces = s.questionInPieces("198.51.100.2:5000", "192.0.2.10:53", 4000)
	s.put(VIPSide, pieces[0])
	s.put(VIPSide, pieces[2])
	s.wait(40 * time.Second)
	s.datagram("198.51.100.3:5000", "192.0.2.10:53", []byte("later"))
	pieces = s.questionInPieces("198.51.100.4:5000", "192.0.2.10:53", 4000)
	overlap := bytes.Clone(pieces[1])
	overlap[21]-- // 8 bytes nearer
	packettest.FixIPv4Checksum(overlap)
	s.put(VIPSide, pieces[0])
	s.put(VIPSide, overlap)
	s.put(VIPSide, pieces[2])
}

// playICMPErrors: a server's port unreachable, a router's frag-needed on the way
// back, and errors about nothing.
func playICMPErrors(s *stage) {
	s.datagram("198.51.100.1:5000", "192.0.2.10:53", []byte("question"))
	seen := packettest.Packet{Proto: 17, TTL: 63, Src: ap("198.51.100.1:5000"), Dst: ap("10.20.0.11:5353"), Payload: []byte("question")}
	s.server(packettest.Packet{Proto: 1, Type: 3, Code: 3, Src: ap("10.20.0.11:0"), Dst: ap("198.51.100.1:0"), Payload: seen.Frame()[14:]})
	t := s.talk("198.51.100.2:40000", "192.0.2.10:80", "10.20.0.12:8080")
	t.ask("GET / HTTP/1.1\r\n\r\n")
	t.answer(string(bytes.Repeat([]byte("x"), 1448)))
	big := packettest.Packet{Proto: 6, TTL: 60, DF: true, Src: ap("192.0.2.10:80"), Dst: ap("198.51.100.2:40000"), Flags: "PA", Payload: make([]byte, 1448)}
	s.client(packettest.Packet{Proto: 1, Type: 3, Code: 4, Rest: 1400, Src: ap("203.0.113.9:0"), Dst: ap("192.0.2.10:0"), Payload: big.Frame()[14:62]})
	big.Dst = ap("198.51.100.9:40000")
	s.client(packettest.Packet{Proto: 1, Type: 3, Code: 4, Rest: 1400, Src: ap("203.0.113.9:0"), Dst: ap("192.0.2.10:0"), Payload: big.Frame()[14:62]})
	s.client(packettest.Packet{Proto: 1, Type: 3, Code: 4, BadSum: true, Src: ap("203.0.113.9:0"), Dst: ap("192.0.2.10:0"), Payload: big.Frame()[14:62]})
}

// playReuse: a client takes the ports of a connection that has just ended.
func playReuse(s *stage) {
	t := s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.12:8080")
	t.close()
	s.wait(time.Second)
	t = s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.11:8080")
	t.ask("GET / HTTP/1.1\r\n\r\n")
	t.up("R", nil)
}

// playPersistence: clients of one network keep their server, on all ports, until
// the template's time is up.
func playPersistence(s *stage) {
	for i, port := range []int{80, 443, 22} {
		t := s.talk(fmt.Sprintf("198.51.100.%d:4000%d", i+1, i), fmt.Sprintf("192.0.2.10:%d", port), fmt.Sprintf("10.20.0.12:%d", port))
		t.close()
	}
	s.talk("203.0.113.5:40000", "192.0.2.10:80", "10.20.0.11:80").close()
	s.wait(15 * time.Minute)
	s.talk("198.51.100.1:40009", "192.0.2.10:80", "10.20.0.12:80").close()
}

func playMarks(s *stage) {
	s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.12:80").close()
	s.talk("198.51.100.1:40001", "192.0.2.10:443", "10.20.0.12:443").close()
	s.talk("198.51.100.2:40001", "192.0.2.10:443", "10.20.0.11:443").close()
	t := &talk{s: s, client: ap("198.51.100.2:40002"), vip: ap("192.0.2.10:22"), server: ap("10.20.0.11:22")}
	t.up("S", nil) // not marked: the VIP has no such port
}

// playStrangers: what is no service's: ARP, ping, ports without service, other
// addresses, other protocols; and what real servers send of their own.
func playStrangers(s *stage) {
	vip := netip.MustParseAddr("192.0.2.10")
	s.put(VIPSide, packettest.ARPRequest(packettest.MAC("02:00:00:00:0c:01"), netip.MustParseAddr("198.51.100.1"), vip))
	s.put(VIPSide, packettest.ARPRequest(packettest.MAC("02:00:00:00:0c:01"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("192.0.2.99")))
	s.put(DIPSide, packettest.ARPRequest(packettest.MAC("02:00:00:00:0c:02"), netip.MustParseAddr("10.20.0.11"), netip.MustParseAddr("10.20.0.1")))
	s.client(packettest.Packet{Proto: 1, Type: 8, Rest: 7<<16 | 1, Src: ap("198.51.100.1:0"), Dst: ap("192.0.2.10:0"), Payload: []byte("ping")})
	s.client(packettest.Packet{Proto: 6, Flags: "S", Src: ap("198.51.100.1:1000"), Dst: ap("192.0.2.10:81")})
	s.client(packettest.Packet{Proto: 6, Flags: "A", Src: ap("198.51.100.1:1000"), Dst: ap("192.0.2.10:80"), Seq: 5, Ack: 6})
	s.datagram("198.51.100.1:1000", "192.0.2.10:54", []byte("nobody"))
	s.client(packettest.Packet{Proto: 47, Raw: true, Src: ap("198.51.100.1:0"), Dst: ap("192.0.2.10:0"), Payload: []byte("GRE.....")})
	s.client(packettest.Packet{Proto: 6, Flags: "S", Src: ap("198.51.100.1:1000"), Dst: ap("203.0.113.80:80")})
	s.reply("10.20.0.11:33333", "203.0.113.53:53", []byte("a server asks"))
	s.datagram("203.0.113.53:53", "10.20.0.11:33333", []byte("and is answered"))
	s.server(packettest.Packet{Proto: 17, TTL: 1, Src: ap("10.20.0.11:33334"), Dst: ap("203.0.113.53:33434"), Payload: []byte("traceroute")})
	s.put(VIPSide, append(make([]byte, 12), append([]byte{0x86, 0xdd, 0x60}, make([]byte, 60)...)...)) // IPv6
	for _, mac := range []string{"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"} {
		to := packettest.MAC(mac)
		frame := packettest.Packet{Proto: 6, Flags: "S", Src: ap("198.51.100.1:1000"), Dst: ap("192.0.2.10:80")}.Frame()
		copy(frame, to[:]) // nobody opens a connection like this
		s.put(VIPSide, frame)
	}
}

// playFull: a server takes two connections and no third.
func playFull(s *stage) {
	a := s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.11:8080")
	s.talk("198.51.100.2:40000", "192.0.2.10:80", "10.20.0.11:8080")
	t := &talk{s: s, client: ap("198.51.100.3:40000"), vip: ap("192.0.2.10:80")}
	t.up("S", nil)
	a.close()
	s.wait(3 * time.Minute)
	t.client = ap("198.51.100.3:40001")
	t.up("S", nil)
}

// playTimeouts: connections in every state of life are left alone.
func playTimeouts(s *stage) {
	half := &talk{s: s, client: ap("198.51.100.1:40000"), vip: ap("192.0.2.10:80")}
	half.up("S", nil)
	s.talk("198.51.100.2:40000", "192.0.2.10:80", "10.20.0.11:8080")
	fin := s.talk("198.51.100.3:40000", "192.0.2.10:80", "10.20.0.12:8080")
	fin.down("FA", nil)
	reset := s.talk("198.51.100.4:40000", "192.0.2.10:80", "10.20.0.11:8080")
	reset.up("R", nil)
	s.datagram("198.51.100.5:5000", "192.0.2.10:53", []byte("question"))
	s.wait(time.Hour)
	s.datagram("198.51.100.6:5000", "192.0.2.10:53", []byte("question"))
}

func playNoServer(s *stage) {
	t := &talk{s: s, client: ap("198.51.100.3:40000"), vip: ap("192.0.2.10:80")}
	t.up("S", nil)
	s.datagram("198.51.100.3:40000", "192.0.2.10:53", []byte("question"))
}

// playOneWay: the server's answers take another way.
func playOneWay(s *stage) {
	t := &talk{s: s, client: ap("198.51.100.3:40000"), vip: ap("192.0.2.10:80")}
	t.up("S", nil)
}

// playHostile: frames that no honest machine sends.
func playHostile(s *stage) {
	good := packettest.Packet{Proto: 6, Flags: "S", Src: ap("198.51.100.1:1000"), Dst: ap("192.0.2.10:80")}
	bad := good
	bad.BadIPSum = true
	s.client(bad)
	bad = good
	bad.BadSum = true
	s.client(bad) // nobody looks
	bad = good
	bad.Src = ap("127.0.0.1:1000")
	s.client(bad)
	bad.Src = ap("192.0.2.10:1000") // a VIP: taken for the director's own
	s.client(bad)
	short := good
	short.Raw, short.Payload = true, []byte("short")
	s.client(short)
	frame := good.Frame()
	for _, n := range []int{0, 1, 13, 14, 20, 33} {
		s.put(VIPSide, bytes.Clone(frame[:n]))
	}
	version := bytes.Clone(frame)
	version[14] = 0x65
	s.put(VIPSide, version)
	long := bytes.Clone(frame)
	long[16] = 0xff
	packettest.FixIPv4Checksum(long)
	s.put(VIPSide, long)
	all := good
	all.Flags, all.Src = "SFRPAU", ap("198.51.100.2:1000")
	s.client(all)
}

// playLate: packets whose times go back, as those of two clocks do.
func playLate(s *stage) {
	t := s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.12:8080")
	s.wait(time.Minute)
	t.up("PA", []byte("GET / HTTP/1.1\r\n\r\n"))
	s.wait(-50 * time.Second)
	t.up("A", nil)
	t.up("FA", nil)
	s.wait(time.Hour)
	s.talk("198.51.100.2:40000", "192.0.2.10:80", "10.20.0.11:8080")
}

// playLocality: lblc sends an address to its server until it has been unused for
// a day.
func playLocality(s *stage) {
	s.talk("198.51.100.1:40000", "192.0.2.10:80", "10.20.0.12:80")
	s.talk("198.51.100.1:40000", "192.0.2.11:80", "10.20.0.11:80")
	s.wait(time.Hour)
	s.talk("198.51.100.2:40000", "192.0.2.11:80", "10.20.0.11:80")
	s.wait(48 * time.Hour)
	s.talk("198.51.100.3:40000", "192.0.2.11:80", "10.20.0.12:80")
}
