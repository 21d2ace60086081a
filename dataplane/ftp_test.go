package dataplane_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/rewrite"

	"pgregory.net/rapid"
)

var (
	ftpClient = netip.MustParseAddrPort("10.10.3.5:4000")
	ftpVIP    = netip.MustParseAddrPort("10.10.1.1:21")
	ftpServer = netip.MustParseAddrPort("10.20.0.11:21")
)

// TestFTPRandom lets clients and servers say what comes to their minds. After
// every step verdicts and counts have to add up; at the end nothing is left.
func TestFTPRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(func(c *dataplane.Config) {
			c.FTPPorts = []uint16{21}
			c.MaxConns = rapid.SampledFrom([]int{0, 4, 8}).Draw(t, "max conns")
		})
		if err := w.rules("-A -t 10.10.1.1:21 -s rr\n-a -t 10.10.1.1:21 -r 10.20.0.11:21 -m -x 6"); err != nil {
			t.Fatal(err)
		}
		f := newFollower(w)
		f.servers["TCP 10.10.1.1:21 10.20.0.11:21"] = true
		says := rapid.SampledFrom([]string{
			"", "PASV\r\n", "EPSV\r\n", "PORT 10,10,3,5,15,162\r\n", "PORT 10,10,3,5,15,163\r\n", "EPRT |1|10.10.3.6|4002|\r\n", "PORT 10,10,1,1,0,21\r\n",
			"227 (10,20,0,11,15,160)\r\n", "227 =1,1,1,1,15,161\r\n", "229 (|||4001|)\r\n", "227 (10,10,1,1,0,20)\r\n", "NOOP\r\n",
		})
		clientPorts := rapid.SampledFrom([]uint16{4000, 4001, 4002, 4003, 20, 0})
		serverPorts := rapid.SampledFrom([]uint16{21, 21, 20, 4000, 4001})
		flags := rapid.SampledFrom([]string{"S", "SA", "A", "PA", "PA", "PA", "FA", "R"})
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := w.ledger(); err != nil {
					t.Fatal(err)
				}
				f.check(t, w)
			},
			"packet": func(t *rapid.T) {
				p := packettest.Packet{
					Src: netip.AddrPortFrom(ftpClient.Addr(), clientPorts.Draw(t, "client port")), Dst: netip.AddrPortFrom(ftpVIP.Addr(), serverPorts.Draw(t, "server port")),
					Proto: 6, Flags: flags.Draw(t, "flags"), DF: true, Seq: rapid.Uint32Range(0, 100).Draw(t, "seq"), Payload: []byte(says.Draw(t, "say")),
				}
				link := uint8(vipLink)
				if rapid.Bool().Draw(t, "reply") {
					link, p.Src, p.Dst = dipLink, netip.AddrPortFrom(ftpServer.Addr(), p.Dst.Port()), p.Src
				}
				w.batch(frame(link, w.from(link, p).Frame()))
			},
			"server": func(t *rapid.T) {
				line := rapid.SampledFrom([]string{
					"-d -t 10.10.1.1:21 -r 10.20.0.11:21", "-a -t 10.10.1.1:21 -r 10.20.0.11:21 -m -x 6", "-e -t 10.10.1.1:21 -r 10.20.0.11:21 -m -w 0",
				}).Draw(t, "line")
				_ = w.rules(line) // one that cannot be is refused
				_ = w.sysctl("expire_nodest_conn", rapid.SampledFrom([]string{"0", "1"}).Draw(t, "expire"))
			},
			"time": func(t *rapid.T) {
				w.now += rapid.SampledFrom([]time.Duration{time.Millisecond, 5 * time.Second, 61 * time.Second, 3 * time.Minute}).Draw(t, "pause")
				w.dir.Housekeep(w.now)
				w.batch()
			},
		})
		w.settle()
		if err := w.leftovers(); err != nil {
			t.Fatal(err)
		}
	})
}

// ftpPeer is one end of a control connection in TestFTPStream: it sends lines,
// repeats what is not acknowledged, and takes what comes in order.
type ftpPeer struct {
	isn, at  uint32 // of the next byte that is expected
	sent     []byte // everything that was sent, from isn+1 on
	acked    uint32 // how much of it
	received []byte
}

// take receives a segment and reports whether it had anything new.
func (e *ftpPeer) take(t *rapid.T, frame []byte) {
	var p rewrite.Packet
	if fault := rewrite.ParseIPv4(frame, &p); fault != rewrite.FaultNone || !rewrite.TCPChecksumOK(frame, &p) {
		t.Fatalf("a segment arrives broken: %s", packettest.Describe(frame))
	}
	seq, ack := rewrite.TCPSeq(frame, &p), uint32(0)
	rewrite.MapTCPAcks(bytes.Clone(frame), &p, func(n uint32) uint32 { ack = n; return n }, false)
	if n := ack - e.isn - 1; n > uint32(len(e.sent)) {
		t.Fatalf("%d bytes are acknowledged, %d were sent", n, len(e.sent))
	} else if int32(n-e.acked) > 0 {
		e.acked = n
	}
	payload := rewrite.TCPPayload(frame, &p)
	if old := e.at - seq; int32(old) >= 0 && old < uint32(len(payload)) {
		e.received = append(e.received, payload[old:]...)
		e.at += uint32(len(payload)) - old
	}
}

// TestFTPStream has an FTP dialogue with many passive replies over a network that
// loses segments: what arrives is what was said, but for the endpoints, nobody
// acknowledges what has not arrived, and all arrives in the end.
func TestFTPStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(func(c *dataplane.Config) { c.FTPPorts = []uint16{21} })
		if err := w.rules("-A -t 10.10.1.1:21 -s rr\n-a -t 10.10.1.1:21 -r 10.20.0.11:21 -m"); err != nil {
			t.Fatal(err)
		}
		isn := rapid.SampledFrom([]uint32{0, 5000, 1<<32 - 40, 1<<32 - 200, 1<<31 - 90})
		client, server := &ftpPeer{isn: isn.Draw(t, "client isn")}, &ftpPeer{isn: isn.Draw(t, "server isn")}
		client.at, server.at = server.isn+1, client.isn+1
		send := func(from, to *ftpPeer, flags string, lost bool) {
			p := packettest.Packet{
				Src: ftpClient, Dst: ftpVIP, Proto: 6, Flags: flags, DF: true, Ack: from.at,
				Seq: from.isn + 1 + from.acked, Payload: from.sent[from.acked:],
			}
			link := uint8(vipLink)
			if from == server {
				p.Src, p.Dst, link = ftpServer, ftpClient, dipLink
			}
			if flags != "PA" && flags != "A" {
				p.Seq--
			}
			w.batch(frame(link, w.from(link, p).Frame()))
			out := w.shard.Output()
			if len(out) != 1 {
				t.Fatalf("%d segments went on, want 1", len(out))
			}
			if !lost && (flags == "PA" || flags == "A") {
				to.take(t, out[0].Data)
			}
		}
		send(client, server, "S", false)
		send(server, client, "SA", false)
		send(client, server, "A", false)
		var want string
		lost := func() bool { return rapid.IntRange(0, 2).Draw(t, "lost") == 0 }
		for i := range rapid.IntRange(1, 8).Draw(t, "dialogues") {
			say := func(from, to *ftpPeer, text string) {
				from.sent = append(from.sent, text...)
				for range 8 {
					send(from, to, "PA", lost())
					send(to, from, "A", lost())
				}
				send(from, to, "PA", false)
				send(to, from, "A", false)
				if from.acked != uint32(len(from.sent)) {
					t.Fatalf("%q: %d of %d bytes are acknowledged", text, from.acked, len(from.sent))
				}
			}
			say(client, server, "PASV\r\n")
			text := rapid.SampledFrom([]string{"10,20,0,11", "1,1,1,1", "010,020,000,011", "10,10,1,1"}).Draw(t, "address")
			say(server, client, fmt.Sprintf("227 Entering (%s,117,%d).\r\n", text, i))
			want += fmt.Sprintf("227 Entering (10,10,1,1,117,%d).\r\n", i)
			if rapid.Bool().Draw(t, "more") {
				say(server, client, "150 go\r\n")
				want += "150 go\r\n"
			}
		}
		if string(client.received) != want {
			t.Fatalf("the client got %q, want %q", client.received, want)
		}
		if !bytes.Equal(server.received, client.sent) {
			t.Fatalf("the server got %q, want %q", server.received, client.sent)
		}
	})
}

// TestFTPOtherMachine names a machine that is not the client in a PORT command. The
// server's data connection to it is translated with one shard, and with several
// when the two machines have the same one.
func TestFTPOtherMachine(t *testing.T) {
	for _, shards := range []int{1, 3} {
		followed, others := 0, 40
		for other := range others {
			w := newWorld(func(c *dataplane.Config) { c.FTPPorts, c.Shards = []uint16{21}, shards })
			w.mustRules(t, "-A -t 10.10.1.1:21 -s rr\n-a -t 10.10.1.1:21 -r 10.20.0.11:21 -m")
			var out []dataplane.Frame
			d := w.dir.NewDriver(0, func(fs []dataplane.Frame, _ []dataplane.Resolve) { out = append(out[:0], fs...) })
			send := func(link uint8, src, dst netip.AddrPort, flags, text string) {
				p := packettest.Packet{Proto: 6, Src: src, Dst: dst, Flags: flags, DF: true, Payload: []byte(text)}
				d.Batch([]dataplane.Frame{frame(link, w.from(link, p).Frame())}, w.now)
			}
			send(vipLink, ftpClient, ftpVIP, "S", "")
			send(dipLink, ftpServer, ftpClient, "SA", "")
			send(vipLink, ftpClient, ftpVIP, "A", "")
			send(vipLink, ftpClient, ftpVIP, "PA", fmt.Sprintf("PORT 10,10,2,%d,15,160\r\n", 10+other))
			machine := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 2, uint8(10 + other)}), 15<<8|160)
			send(dipLink, netip.AddrPortFrom(ftpServer.Addr(), 20), machine, "S", "")
			if len(out) != 1 {
				t.Fatalf("the server's connection became %d frames", len(out))
			}
			if bytes.Equal(out[0].Data[26:30], ftpVIP.Addr().AsSlice()) {
				followed++
			}
		}
		if all := followed == others; followed == 0 || all != (shards == 1) {
			t.Errorf("with %d shards %d of %d machines are followed", shards, followed, others)
		}
	}
}
