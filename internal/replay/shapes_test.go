package replay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"natlb/internal/packettest"
)

// The shapes of real protocols: sizes, turns and times as on the wire, contents
// and addresses made up.
var shapes = []scene{
	{"http", "-A -t 192.0.2.10:80 -s rr\n-a -t 192.0.2.10:80 -r 10.20.0.11:8080 -m\n-a -t 192.0.2.10:80 -r 10.20.0.12:8080 -m\n", playHTTP},
	{"tls", "-A -t 192.0.2.10:443 -s wlc\n-a -t 192.0.2.10:443 -r 10.20.0.11 -m -w 3\n-a -t 192.0.2.10:443 -r 10.20.0.12 -m\n", playTLS},
	{"dns", "-A -u 192.0.2.53:53 -s rr\n-a -u 192.0.2.53:53 -r 10.20.0.11 -m\n-a -u 192.0.2.53:53 -r 10.20.0.12 -m\n" +
		"-A -t 192.0.2.53:53 -s rr\n-a -t 192.0.2.53:53 -r 10.20.0.11 -m\n", playDNS},
	{"sip", "-A -u 192.0.2.60:5060 -s rr -p 600\n-a -u 192.0.2.60:5060 -r 10.20.0.11 -m\n-a -u 192.0.2.60:5060 -r 10.20.0.12 -m\n", playSIP},
	{"ftp", "-A -t 192.0.2.21:21 -s rr\n-a -t 192.0.2.21:21 -r 10.20.0.11 -m\n", playFTP},
	{"quic", "-A -u 192.0.2.10:443 -s sh\n-a -u 192.0.2.10:443 -r 10.20.0.11 -m\n", playQUIC},
	{"hunt", huntRules, playHunt},
	{"diameter", "-A --sctp-service 192.0.2.38:3868 -s rr\n-a --sctp-service 192.0.2.38:3868 -r 10.20.0.11 -m\n" +
		"-a --sctp-service 192.0.2.38:3868 -r 10.20.0.12:3869 -m\n", playDiameter},
	{"syslog", "-A -u 192.0.2.14:514 -s rr -o\n-a -u 192.0.2.14:514 -r 10.20.0.11 -m\n-a -u 192.0.2.14:514 -r 10.20.0.12 -m\n", playSyslog},
}

// playHTTP: two browsers keep a connection for several requests, a third one is
// cut off, and a fourth times out.
func playHTTP(s *stage) {
	page := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4000\r\n\r\n" + strings.Repeat("natlb...", 500)
	for i, server := range []string{"10.20.0.12:8080", "10.20.0.11:8080"} {
		t := s.talk(fmt.Sprintf("198.51.100.%d:4400%d", i+1, i), "192.0.2.10:80", server)
		for n := range 3 {
			t.ask(fmt.Sprintf("GET /page/%d HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: browser\r\n\r\n", n))
			s.wait(3 * time.Millisecond)
			t.answer(page)
			s.wait(time.Second)
		}
		t.close()
	}
	t := s.talk("198.51.100.3:40000", "192.0.2.10:80", "10.20.0.12:8080")
	t.ask("GET /large HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	t.down("R", nil)
	t = s.talk("198.51.100.4:40000", "192.0.2.10:80", "10.20.0.11:8080")
	t.ask("GET /slow HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	s.wait(20 * time.Minute)
	t.answer(page) // of a connection that the director has forgotten
}

// playDiameter: two peers over SCTP. One stays for an hour, by heartbeats, and its
// server ends it; the other one is aborted, and tries again without an INIT.
func playDiameter(s *stage) {
	client, server := "198.51.100.1:3868", "10.20.0.12:3869"
	up := func(chunks string, payload string) {
		s.client(packettest.Packet{Proto: 132, DF: true, Src: ap(client), Dst: ap("192.0.2.38:3868"), Chunks: chunks, Tag: 77, Payload: []byte(payload)})
	}
	down := func(chunks string, payload string) {
		s.server(packettest.Packet{Proto: 132, DF: true, Src: ap(server), Dst: ap(client), Chunks: chunks, Tag: 78, Payload: []byte(payload)})
	}
	greet := func() {
		up("INIT", "")
		down("INIT_ACK", "")
		up("COOKIE_ECHO", strings.Repeat("c", 225)) // not a multiple of 4
		down("COOKIE_ACK", "")
	}
	greet()
	message := strings.Repeat("\x01", 12) + strings.Repeat("AVP", 60)
	up("DATA", message)
	down("SACK+DATA", message)
	for range 6 {
		s.wait(10 * time.Minute)
		up("HEARTBEAT", "info")
		down("HEARTBEAT_ACK", "info")
	}
	down("SHUTDOWN", "\x00\x00\x00\x01")
	up("SHUTDOWN_ACK", "")
	down("SHUTDOWN_COMPLETE", "")
	client, server = "198.51.100.2:3868", "10.20.0.11:3868"
	greet()
	up("COOKIE_ECHO+ABORT", "")
	s.wait(2 * time.Minute)
	up("DATA", message)
}

// playTLS: handshakes of TLS 1.3, with records of the usual sizes.
func playTLS(s *stage) {
	record := func(kind byte, n int) string {
		return string([]byte{kind, 3, 3, byte(n >> 8), byte(n)}) + strings.Repeat("\xa5", n)
	}
	servers := []string{"10.20.0.12:443", "10.20.0.11:443", "10.20.0.11:443", "10.20.0.11:443"}
	for i, server := range servers {
		t := s.talk(fmt.Sprintf("198.51.100.%d:5123%d", 10+i, i), "192.0.2.10:443", server)
		t.ask(record(22, 512))
		t.answer(record(22, 122) + record(20, 1) + record(23, 2800))
		t.ask(record(20, 1) + record(23, 53) + record(23, 400))
		t.answer(record(23, 239) + record(23, 9000))
		if i%2 == 1 {
			t.ask(record(23, 19)) // close notify
			t.close()
		}
	}
}

// playDNS: questions of one port each, one of them without checksum; an answer
// in fragments; one that is too long and comes by TCP.
func playDNS(s *stage) {
	question := func(id uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, id)
		return append(append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), "\x03www\x07example\x03com\x00\x00\x01\x00\x01"...)
	}
	servers := []string{"10.20.0.12:53", "10.20.0.11:53"}
	for i := range 4 {
		client := fmt.Sprintf("198.51.100.%d:%d", 20+i, 33000+i)
		s.datagram(client, "192.0.2.53:53", question(uint16(i)))
		s.wait(800 * time.Microsecond)
		s.reply(servers[i%2], client, append(question(uint16(i)), bytes.Repeat([]byte{192, 12}, 40*i)...))
	}
	s.datagram("198.51.100.30:5353", "192.0.2.53:53", question(77))
	s.replyInPieces("10.20.0.12:53", "198.51.100.30:5353", append(question(77), make([]byte, 3500)...))
	t := s.talk("198.51.100.30:5354", "192.0.2.53:53", "10.20.0.11:53")
	t.ask("\x00\x21" + string(question(78)))
	t.answer("\x10\x00" + strings.Repeat("x", 4096))
	t.close()
	s.wait(10 * time.Minute) // all is forgotten
	s.datagram("198.51.100.20:33000", "192.0.2.53:53", question(99))
}

// playSIP: phones register and call; those behind one address keep their server.
func playSIP(s *stage) {
	message := func(method, call string) []byte {
		return []byte(method + " sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP phone.example.com\r\nCall-ID: " + call + "\r\nContent-Length: 0\r\n\r\n")
	}
	servers := []string{"10.20.0.12:5060", "10.20.0.11:5060"}
	for round := range 3 {
		for i, server := range servers {
			client := fmt.Sprintf("198.51.100.%d:506%d", 40+i, round%2)
			s.datagram(client, "192.0.2.60:5060", message("REGISTER", fmt.Sprint(i)))
			s.reply(server, client, message("SIP/2.0 200 OK", fmt.Sprint(i)))
			s.datagram(client, "192.0.2.60:5060", message("INVITE", fmt.Sprint(i)))
			s.reply(server, client, message("SIP/2.0 100 Trying", fmt.Sprint(i)))
			s.wait(2 * time.Second)
			s.reply(server, client, message("SIP/2.0 200 OK", fmt.Sprint(i)))
		}
		s.wait(4 * time.Minute)
	}
	s.wait(20 * time.Minute) // the templates end
	s.datagram("198.51.100.40:5060", "192.0.2.60:5060", message("REGISTER", "0"))
}

// playFTP: a session with one active and one passive transfer.
func playFTP(s *stage) {
	t := s.talk("198.51.100.50:41000", "192.0.2.21:21", "10.20.0.11:21")
	t.answer("220 ready\r\n")
	t.ask("USER anonymous\r\n")
	t.answer("331 send a name\r\n")
	t.ask("PASS guest@example.com\r\n")
	t.answer("230 welcome\r\n")

	t.ask("PORT 198,51,100,50,160,41\r\n") // 41001
	t.answer("200 ok\r\n")
	t.ask("RETR active.txt\r\n")
	t.answer("150 here it comes\r\n")
	data := &talk{s: s, client: ap("198.51.100.50:41001"), vip: ap("192.0.2.21:20"), server: ap("10.20.0.11:20"), cseq: 1, sseq: 1}
	data.down("S", nil)
	data.up("SA", nil)
	data.down("A", nil)
	data.answer(strings.Repeat("active! ", 300))
	data.down("FA", nil)
	data.up("FA", nil)
	data.down("A", nil)
	t.answer("226 done\r\n")

	t.ask("PASV\r\n")
	t.answer("227 Entering Passive Mode (10,20,0,11,195,80).\r\n") // 50000
	t.ask("RETR passive.txt\r\n")
	passive := s.talk("198.51.100.50:41002", "192.0.2.21:50000", "10.20.0.11:50000")
	t.answer("150 here it comes\r\n")
	passive.answer(strings.Repeat("passive ", 300))
	passive.close()
	t.answer("226 done\r\n")
	t.ask("QUIT\r\n")
	t.answer("221 bye\r\n")
	t.close()
}

// playQUIC: a long-header handshake in full datagrams, then short headers; the
// client changes its port as after a NAT's timeout.
func playQUIC(s *stage) {
	long := append([]byte{0xc3, 0, 0, 0, 1, 8}, bytes.Repeat([]byte{0x51}, 1194)...)
	short := append([]byte{0x41}, bytes.Repeat([]byte{0x52}, 900)...)
	for _, client := range []string{"198.51.100.70:61000", "198.51.100.70:61001"} {
		s.datagram(client, "192.0.2.10:443", long)
		s.reply("10.20.0.11:443", client, long)
		s.reply("10.20.0.11:443", client, long[:700])
		for range 5 {
			s.datagram(client, "192.0.2.10:443", short[:60])
			s.reply("10.20.0.11:443", client, short)
		}
		s.wait(30 * time.Second)
	}
}

// playSyslog: datagrams that nobody answers, each scheduled anew.
func playSyslog(s *stage) {
	for i := range 12 {
		s.datagram(fmt.Sprintf("198.51.100.%d:514", 80+i%3), "192.0.2.14:514",
			fmt.Appendf(nil, "<13>1 2026-01-01T00:00:%02dZ host app - - - line %d", i, i))
		s.wait(700 * time.Millisecond)
	}
}

// The shop of docs/replay.md: each of its two services keeps its own clients.
const huntRules = `-A -t 192.0.2.80:80 -s rr -p 600
-a -t 192.0.2.80:80 -r 10.20.0.11 -m
-a -t 192.0.2.80:80 -r 10.20.0.12 -m
-A -t 192.0.2.80:443 -s rr -p 600
-a -t 192.0.2.80:443 -r 10.20.0.11 -m
-a -t 192.0.2.80:443 -r 10.20.0.12 -m
`

// playHunt: three customers fill their carts over HTTP; the second one is the
// first to pay over HTTPS.
func playHunt(s *stage) {
	carts := []string{"10.20.0.12:80", "10.20.0.11:80", "10.20.0.12:80"}
	for i, server := range carts {
		t := s.talk(fmt.Sprintf("198.51.100.%d:40001", i+1), "192.0.2.80:80", server)
		t.ask("POST /cart HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n\r\nitem=1")
		t.answer("HTTP/1.1 200 OK\r\nSet-Cookie: cart=" + fmt.Sprint(i) + "\r\nContent-Length: 0\r\n\r\n")
		t.close()
		s.wait(5 * time.Second)
	}
	for i, server := range []string{"10.20.0.12:443", "10.20.0.11:443"} {
		t := s.talk(fmt.Sprintf("198.51.100.%d:40002", 2-i), "192.0.2.80:443", server)
		t.ask("\x16\x03\x01\x02\x00" + strings.Repeat("\xa5", 512))
		t.answer("\x17\x03\x03\x01\x00" + strings.Repeat("\xa5", 256))
		t.close()
		s.wait(5 * time.Second)
	}
}
