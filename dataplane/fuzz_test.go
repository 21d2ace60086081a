package dataplane_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/packettest"
)

// FuzzProcess feeds a director frames of the fuzzer's making. The input is a
// series of records: kind, length (two bytes), contents. Even kinds are a frame
// for the link in bit 1, with offload metadata in front if bit 2 is set; odd
// ones let time pass.
func FuzzProcess(f *testing.F) {
	for _, seed := range fuzzSeeds() {
		f.Add(seed)
	}
	f.Fuzz(playRecords)
}

func playRecords(t *testing.T, data []byte) {
	w := newWorld(func(c *dataplane.Config) {
		c.MaxConns = 64
		c.FTPPorts = []uint16{21}
		c.Links[dipLink].Caps.Offload = len(data)%2 == 0
	})
	w.mustRules(t, "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n-a -t 10.10.1.1:80 -r 10.20.0.12:80 -m -x 3\n"+
		"-A -u 10.10.1.1:53 -s sh\n-a -u 10.10.1.1:53 -r 10.20.0.11:5353 -m\n-a -u 10.10.1.1:53 -r 10.20.0.13:53 -g\n"+
		"-a -t 10.10.1.1:80 -r 10.20.0.14 -i\n-a -u 10.10.1.1:53 -r 10.20.0.14 -i --tun-type gue --tun-port 6080 --tun-csum\n"+
		"-A --sctp-service 10.10.1.1:80 -s rr\n-a --sctp-service 10.10.1.1:80 -r 10.20.0.11:8080 -m\n"+
		"-A -t 10.10.1.9:21 -s rr\n-a -t 10.10.1.9:21 -r 10.20.0.14:21 -m\n"+
		"-A -t [fd10:1::1]:80 -s rr -p 60 -M 64\n-a -t [fd10:1::1]:80 -r [fd20::11]:8080 -m\n-a -t [fd10:1::1]:80 -r 10.20.0.14:80 -i\n"+
		"-A -u [fd10:1::1]:53 -s sh\n-a -u [fd10:1::1]:53 -r [fd20::11]:5353 -m\n-a -u [fd10:1::1]:53 -r fd20::12 -g\n"+
		"-a -u [fd10:1::1]:53 -r fd20::13 -i --tun-type gue --tun-port 6080 --tun-csum\n-a -u 10.10.1.1:53 -r [fd20::13]:53 -i --tun-type gre\n"+
		"-A -t [fd10:1::9]:21 -s rr\n-a -t [fd10:1::9]:21 -r [fd20::14]:21 -m\n"+
		"source add 10.20.0.240 fd20::f0\n-a -t 10.10.1.1:80 -r 10.20.0.15:80 --fullnat --toa\n-a -u 10.10.1.1:53 -r 10.20.0.15:53 --fullnat\n"+
		"-a --sctp-service 10.10.1.1:80 -r 10.20.0.15:80 --fullnat\n-a -t [fd10:1::1]:80 -r [fd20::15]:80 --fullnat --toa\n-a -u [fd10:1::1]:53 -r [fd20::15]:53 --fullnat")
	w.setHost(func(h *packettest.Host) { h.Neighbours[netip.MustParseAddr("10.20.0.12")] = packettest.Unresolved })
	for records := 0; len(data) >= 3 && records < 100; records++ {
		kind, n := data[0], min(int(binary.BigEndian.Uint16(data[1:])), len(data)-3)
		body := data[3 : 3+n]
		data = data[3+n:]
		if kind&1 != 0 {
			w.now += time.Duration(n) * 100 * time.Millisecond
			w.batch()
			continue
		}
		fr := dataplane.Frame{Link: kind >> 1 & 1}
		if kind&4 != 0 && len(body) >= 10 {
			fr.Offload = dataplane.Offload{
				Flags: body[0], GSO: body[1], HdrLen: binary.BigEndian.Uint16(body[2:]), GSOSize: binary.BigEndian.Uint16(body[4:]),
				CsumStart: binary.BigEndian.Uint16(body[6:]), CsumOffset: binary.BigEndian.Uint16(body[8:]),
			}
			body = body[10:]
		}
		fr.Data = append([]byte(nil), body...)
		fr.WireLen = uint32(len(fr.Data))
		if len(body) > 0 && body[0] == 0x33 { // neighbours ask by multicast
			fr.Type = dataplane.Multicast
		}
		w.batch(fr)
	}
	if err := w.ledger(); err != nil {
		t.Error(err)
	}
	w.settle()
	if err := w.leftovers(); err != nil {
		t.Error(err)
	}
}

// fuzzSeeds are a TCP life, an SCTP one, datagrams whole and in pieces, ICMP and ARP.
func fuzzSeeds() [][]byte {
	client, vip := netip.MustParseAddrPort("10.10.3.5:4000"), netip.MustParseAddrPort("10.10.1.1:80")
	dns, server := netip.MustParseAddrPort("10.10.1.1:53"), netip.MustParseAddrPort("10.20.0.11:8080")
	record := func(kind byte, body []byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(body))), body...)
	}
	tcp := func(flags string, n int) []byte {
		return packettest.Packet{Src: client, Dst: vip, Proto: 6, Flags: flags, DF: true, Payload: make([]byte, n)}.Frame()
	}
	back := func(flags string) []byte {
		return packettest.Packet{Src: server, Dst: client, Proto: 6, Flags: flags, DF: true}.Frame()
	}
	var life, pieces, errors []byte
	other := packettest.Packet{Src: client, Dst: vip, Proto: 6, Flags: "S"}
	other.Src = netip.AddrPortFrom(client.Addr(), 4001)
	for _, r := range [][]byte{
		record(0, other.Frame()), record(0, tcp("S", 0)), record(2, back("SA")), record(0, tcp("A", 0)), record(1, make([]byte, 100)),
		record(4, append([]byte{1, 1, 0, 54, 5, 168, 0, 34, 0, 16}, tcp("PA", 3000)...)), record(2, back("FA")), record(0, tcp("FA", 0)), record(1, make([]byte, 1300)),
	} {
		life = append(life, r...)
	}
	udp := packettest.Packet{Src: client, Dst: dns, Proto: 17, Payload: make([]byte, 900)}.Frame()
	for _, p := range packettest.Fragments(udp, 400) {
		pieces = append(pieces, record(0, p)...)
	}
	quoted := packettest.Packet{Src: client, Dst: server, Proto: 6, Flags: "S"}.Frame()[14:]
	errors = append(errors, life...)
	errors = append(errors, record(2, packettest.Packet{Src: server, Dst: client, Proto: 1, Type: 3, Code: 4, Rest: 1400, Payload: quoted}.Frame())...)
	errors = append(errors, record(0, packettest.Packet{Src: client, Dst: vip, Proto: 1, Type: 8, Payload: make([]byte, 20)}.Frame())...)
	errors = append(errors, record(0, packettest.ARPRequest(packettest.NeighbourMAC(client.Addr()), client.Addr(), vip.Addr()))...)
	inner := packettest.Packet{Src: client, Dst: vip, Proto: 6, Flags: "S"}.Frame()[14:]
	outer := packettest.Packet{Src: netip.MustParseAddrPort("10.20.0.1:0"), Dst: netip.MustParseAddrPort("10.20.0.14:0"), Proto: 4, Payload: inner}.Frame()[14:]
	errors = append(errors, record(2, packettest.Packet{Src: server, Dst: netip.MustParseAddrPort("10.20.0.1:0"), Proto: 1, Type: 3, Code: 4, Rest: 1400, Payload: outer}.Frame())...)
	ftp := func(kind byte, flags, say string) []byte {
		p := packettest.Packet{Src: client, Dst: netip.MustParseAddrPort("10.10.1.9:21"), Proto: 6, Flags: flags, DF: true, Payload: []byte(say)}
		if kind == 2 {
			p.Src, p.Dst = netip.MustParseAddrPort("10.20.0.14:21"), client
		}
		return record(kind, p.Frame())
	}
	sctp := func(kind byte, chunks string) []byte {
		p := packettest.Packet{Src: client, Dst: vip, Proto: 132, Chunks: chunks, DF: true}
		if kind&2 != 0 {
			p.Src, p.Dst = server, client
		}
		if kind&4 != 0 { // its checksum is left to the device
			return record(kind, append([]byte{1, 0, 0, 0, 0, 0, 0, 34, 0, 8}, p.Frame()...))
		}
		return record(kind, p.Frame())
	}
	association := bytes.Join([][]byte{
		sctp(0, "INIT"), sctp(2, "INIT_ACK"), sctp(4, "COOKIE_ECHO"), sctp(6, "COOKIE_ACK+SACK"), sctp(0, "DATA+DATA"), sctp(2, "SHUTDOWN"),
		sctp(0, "SHUTDOWN_ACK"), sctp(2, "SHUTDOWN_COMPLETE"), record(1, make([]byte, 1300)), sctp(0, "SHUTDOWN_ACK"), sctp(0, "COOKIE_ACK+ABORT"),
	}, nil)
	return append(fuzzSeeds6(record), [][]byte{life, pieces, errors, association, bytes.Join([][]byte{
		ftp(0, "S", ""), ftp(2, "SA", ""), ftp(0, "A", ""), ftp(0, "PA", "PORT 10,10,3,5,15,162\r\n"), ftp(0, "PA", "PASV\r\n"),
		ftp(2, "PA", "227 (10,20,0,14,15,160)\r\n"), ftp(2, "PA", "150 go\r\n"), ftp(0, "A", ""), record(1, make([]byte, 1300)),
	}, nil)}...)
}

// fuzzSeeds6 are such of IPv6.
func fuzzSeeds6(record func(byte, []byte) []byte) [][]byte {
	ap := netip.MustParseAddrPort
	client, vip, server := ap("[fd10::5]:4000"), ap("[fd10:1::1]:80"), ap("[fd20::11]:8080")
	frame := func(kind byte, src, dst netip.AddrPort, p packettest.Packet) []byte {
		p.Src, p.Dst, p.DF = src, dst, true
		return record(kind, p.Frame())
	}
	tcp := func(kind byte, src, dst netip.AddrPort, flags, say string) []byte {
		return frame(kind, src, dst, packettest.Packet{Proto: 6, Flags: flags, Payload: []byte(say)})
	}
	ftp, ftpServer, dns := ap("[fd10:1::9]:21"), ap("[fd20::14]:21"), ap("[fd10:1::1]:53")
	udp := packettest.Packet{Src: client, Dst: dns, Proto: 17, Payload: make([]byte, 900)}.Frame()
	var pieces []byte
	for _, p := range packettest.Fragments6(udp, 400, 7) {
		pieces = append(pieces, record(0, p)...)
	}
	toServer := packettest.Packet{Src: client, Dst: server, Proto: 6, Flags: "S"}.Frame()[14:]
	inner := packettest.Packet{Src: client, Dst: dns, Proto: 17}.Frame()[14:]
	tunnel := packettest.Packet{Src: ap("[fd20::1]:40000"), Dst: ap("[fd20::13]:6080"), Proto: 17, Payload: append([]byte{0, 41, 0, 0}, inner...)}.Frame()[14:]
	return [][]byte{
		bytes.Join([][]byte{
			record(0, packettest.NeighbourSolicitation(packettest.NeighbourMAC(client.Addr()), client.Addr(), vip.Addr())),
			tcp(0, client, vip, "S", ""), tcp(2, server, client, "SA", ""), tcp(0, client, vip, "A", ""), tcp(2, server, client, "FA", "bye"),
			frame(2, server, client, packettest.Packet{Proto: 58, Type: 2, Rest: 1300, Payload: toServer}),
			frame(0, client, vip, packettest.Packet{Proto: 58, Type: 128, Payload: make([]byte, 20)}), record(1, make([]byte, 1300)),
		}, nil),
		bytes.Join([][]byte{
			frame(0, client, dns, packettest.Packet{Proto: 17, Extensions: []packettest.Extension{{Type: 0}, {Type: 60}, {Type: 43}}}),
			frame(2, ap("[fd20::77]:0"), ap("[fd20::1]:0"), packettest.Packet{Proto: 58, Type: 2, Rest: 1300, Payload: tunnel}), pieces,
		}, nil),
		bytes.Join([][]byte{
			tcp(0, client, ftp, "S", ""), tcp(2, ftpServer, client, "SA", ""), tcp(0, client, ftp, "A", ""),
			tcp(0, client, ftp, "PA", "EPRT |2|fd10::5|4002|\r\n"), tcp(0, client, ftp, "PA", "EPSV\r\n"), tcp(2, ftpServer, client, "PA", "229 (|||4000|)\r\n"),
		}, nil),
	}
}
