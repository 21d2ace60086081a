package replay

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"natlb/internal/packettest"
)

// The addresses of RFC 3849: 2001:db8:c::/48 are clients, 2001:db8:a::/48 VIPs;
// fd20::/64 servers.
const ipv6Rules = "-A -t [2001:db8:a::10]:80 -s rr\n-a -t [2001:db8:a::10]:80 -r [fd20::11]:8080 -m\n-a -t [2001:db8:a::10]:80 -r [fd20::12]:8080 -m\n" +
	"-A -u [2001:db8:a::10]:53 -s rr\n-a -u [2001:db8:a::10]:53 -r [fd20::11]:5353 -m\n"

// ipv6 are scenes of IPv6, one idea each.
var ipv6 = []scene{
	{"ipv6", ipv6Rules, playIPv6},
	{"ipv6-fragments", ipv6Rules, playFragments6},
	{"ipv6-icmp-errors", ipv6Rules, playICMPErrors6},
	{"ipv6-strangers", ipv6Rules, playStrangers6},
	{"ipv6-persistence", "-A -t [2001:db8:a::10]:0 -s rr -p 300 -M 64\n-a -t [2001:db8:a::10]:0 -r fd20::11 -m\n-a -t [2001:db8:a::10]:0 -r fd20::12 -m\n", playPersistence6},
	{"ipv6-marks", "mark -6 -A PREROUTING -d 2001:db8:a::10/128 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 7\n" +
		"-A -f 7 -6 -s rr -p 300\n-a -f 7 -6 -r fd20::11 -m\n-a -f 7 -6 -r fd20::12 -m\n", playMarks6},
	{"ipv6-direct-routing", "-A -t [2001:db8:a::10]:80 -s rr\n-a -t [2001:db8:a::10]:80 -r [fd20::11]:80 -g\n", playOneWay6},
	{"ipv6-tunnels", "-A -t [2001:db8:a::10]:80 -s rr\n-a -t [2001:db8:a::10]:80 -r [fd20::11]:80 -i\n-a -t [2001:db8:a::10]:80 -r [fd20::12]:80 -i --tun-type gue --tun-port 6080 --tun-csum\n" +
		"-a -t [2001:db8:a::10]:80 -r 10.20.0.11:80 -i --tun-type gre\n-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r [fd20::11]:80 -i\n", playOneWay6},
}

// playIPv6: a connection to each server, and a question.
func playIPv6(s *stage) {
	for i, server := range []string{"[fd20::12]:8080", "[fd20::11]:8080"} {
		t := s.talk(fmt.Sprintf("[2001:db8:c::%d]:40000", i+1), "[2001:db8:a::10]:80", server)
		t.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
		t.answer("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + string(bytes.Repeat([]byte("x"), 3000)))
		t.close()
	}
	s.datagram("[2001:db8:c::3]:5000", "[2001:db8:a::10]:53", []byte("question"))
	s.reply("[fd20::11]:5353", "[2001:db8:c::3]:5000", []byte("answer"))
	s.client(packettest.Packet{Proto: 17, ZeroSum: true, Src: ap("[2001:db8:c::3]:5000"), Dst: ap("[2001:db8:a::10]:53"), Payload: []byte("without checksum")})
	s.client(packettest.Packet{
		Proto: 17, Src: ap("[2001:db8:c::4]:5000"), Dst: ap("[2001:db8:a::10]:53"), Payload: []byte("behind a header"),
		Extensions: []packettest.Extension{{Type: 60}},
	})
}

// playFragments6: a datagram in three pieces out of order, answered in pieces, and
// one of which a piece never comes.
func playFragments6(s *stage) {
	pieces := func(src, dst string, id uint32) [][]byte {
		p := packettest.Packet{Proto: 17, Src: ap(src), Dst: ap(dst), Payload: bytes.Repeat([]byte("q"), 4000)}
		return packettest.Fragments6(p.Frame(), 1448, id)
	}
	question := pieces("[2001:db8:c::1]:5000", "[2001:db8:a::10]:53", 815)
	for _, i := range []int{2, 0, 1} {
		s.put(VIPSide, question[i])
	}
	for _, piece := range pieces("[fd20::11]:5353", "[2001:db8:c::1]:5000", 4711) {
		s.put(DIPSide, piece)
	}
	lost := pieces("[2001:db8:c::2]:5000", "[2001:db8:a::10]:53", 816)
	s.put(VIPSide, lost[0])
	s.put(VIPSide, lost[2])
	s.wait(70 * time.Second)
	s.datagram("[2001:db8:c::3]:5000", "[2001:db8:a::10]:53", []byte("later"))
}

// playICMPErrors6: a server's port unreachable, a router's packet too big on the way
// back, and one about nothing.
func playICMPErrors6(s *stage) {
	s.datagram("[2001:db8:c::1]:5000", "[2001:db8:a::10]:53", []byte("question"))
	seen := packettest.Packet{Proto: 17, TTL: 63, Src: ap("[2001:db8:c::1]:5000"), Dst: ap("[fd20::11]:5353"), Payload: []byte("question")}
	s.server(packettest.Packet{Proto: 58, Type: 1, Code: 4, Src: ap("[fd20::11]:0"), Dst: ap("[2001:db8:c::1]:0"), Payload: seen.Frame()[14:]})
	t := s.talk("[2001:db8:c::2]:40000", "[2001:db8:a::10]:80", "[fd20::12]:8080")
	t.ask("GET / HTTP/1.1\r\n\r\n")
	t.answer(string(bytes.Repeat([]byte("x"), 1428)))
	big := packettest.Packet{Proto: 6, TTL: 60, Src: ap("[2001:db8:a::10]:80"), Dst: ap("[2001:db8:c::2]:40000"), Flags: "PA", Payload: make([]byte, 1428)}
	tooBig := packettest.Packet{Proto: 58, Type: 2, Rest: 1400, Src: ap("[2001:db8:f::9]:0"), Dst: ap("[2001:db8:a::10]:0"), Payload: big.Frame()[14:]}
	tooBig.Payload = tooBig.Payload[:1232]
	s.client(tooBig)
	big.Dst = ap("[2001:db8:c::9]:40000")
	tooBig.Payload = big.Frame()[14:][:1232]
	s.client(tooBig)
	tooBig.BadSum = true
	s.client(tooBig)
}

// playStrangers6: what is no service's: neighbour discovery, ping, ports without
// service, no hops left; and what real servers send of their own.
func playStrangers6(s *stage) {
	who, vip := netip.MustParseAddr("2001:db8:c::1"), netip.MustParseAddr("2001:db8:a::10")
	mac := packettest.NeighbourMAC(who)
	s.put(VIPSide, packettest.NeighbourSolicitation(mac, who, vip))
	s.put(VIPSide, packettest.NeighbourSolicitation(mac, who, netip.MustParseAddr("2001:db8:a::99")))
	s.client(packettest.Packet{Proto: 58, Type: 128, Rest: 7<<16 | 1, Src: ap("[2001:db8:c::1]:0"), Dst: ap("[2001:db8:a::10]:0"), Payload: []byte("ping")})
	s.client(packettest.Packet{Proto: 6, Flags: "S", Src: ap("[2001:db8:c::1]:1000"), Dst: ap("[2001:db8:a::10]:81")})
	s.client(packettest.Packet{Proto: 6, Flags: "A", Src: ap("[2001:db8:c::1]:1000"), Dst: ap("[2001:db8:a::10]:80"), Seq: 5, Ack: 6})
	s.datagram("[2001:db8:c::1]:1000", "[2001:db8:a::10]:54", []byte("nobody"))
	s.client(packettest.Packet{Proto: 6, TTL: 1, Flags: "S", Src: ap("[2001:db8:c::1]:1001"), Dst: ap("[2001:db8:a::10]:80")})
	s.client(packettest.Packet{Proto: 6, Flags: "S", Src: ap("[fe80::1]:1000"), Dst: ap("[2001:db8:a::10]:80")})
	s.client(packettest.Packet{Proto: 6, Flags: "S", Src: ap("[2001:db8:c::1]:1000"), Dst: ap("[2001:db8:f::80]:80")})
	s.reply("[fd20::11]:33333", "[2001:db8:f::53]:53", []byte("a server asks"))
	s.datagram("[2001:db8:f::53]:53", "[fd20::11]:33333", []byte("and is answered"))
	s.server(packettest.Packet{Proto: 17, TTL: 1, Src: ap("[fd20::11]:33334"), Dst: ap("[2001:db8:f::53]:33434"), Payload: []byte("traceroute")})
}

// playPersistence6: clients of one /64 keep their server, on all ports, until the
// template's time is up.
func playPersistence6(s *stage) {
	for i, port := range []int{80, 443, 22} {
		t := s.talk(fmt.Sprintf("[2001:db8:c:1::%d]:4000%d", i+1, i), fmt.Sprintf("[2001:db8:a::10]:%d", port), fmt.Sprintf("[fd20::12]:%d", port))
		t.close()
	}
	s.talk("[2001:db8:c:2::1]:40000", "[2001:db8:a::10]:80", "[fd20::11]:80").close()
	s.wait(15 * time.Minute)
	s.talk("[2001:db8:c:1::9]:40009", "[2001:db8:a::10]:80", "[fd20::12]:80").close()
}

func playMarks6(s *stage) {
	s.talk("[2001:db8:c::1]:40000", "[2001:db8:a::10]:80", "[fd20::12]:80").close()
	s.talk("[2001:db8:c::1]:40001", "[2001:db8:a::10]:443", "[fd20::12]:443").close()
	s.talk("[2001:db8:c::2]:40001", "[2001:db8:a::10]:443", "[fd20::11]:443").close()
	t := &talk{s: s, client: ap("[2001:db8:c::2]:40002"), vip: ap("[2001:db8:a::10]:22")}
	t.up("S", nil) // not marked
}

// playOneWay6: what only clients send, to as many servers as there may be; and a
// client of IPv4.
func playOneWay6(s *stage) {
	for i := range 3 {
		t := &talk{s: s, client: ap(fmt.Sprintf("[2001:db8:c::%d]:40000", i+1)), vip: ap("[2001:db8:a::10]:80")}
		t.up("S", nil)
		t.up("A", nil)
		t.up("PA", bytes.Repeat([]byte("x"), 1300))
	}
	playOneWay(s)
}
