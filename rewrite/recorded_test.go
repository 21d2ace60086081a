package rewrite

import (
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded are frames on the two sides of a real kernel IPVS (Linux 6.1): what
// came in and what went out, each as Ethernet header, IP header and the rest.
var recorded = []struct {
	name     string
	op       translation
	addr     uint32 // the RIP on the way in, the VIP on the way out
	port     uint16
	in, want string
}{
	{
		name: "client to server, UDP",
		op:   opDNAT, addr: 0x0a14000b, port: 4444,
		in: "0200000001010200000001020800" +
			"4500001d00054000401122b10a0a03050a0a0102" +
			"1519003500095a7378",
		want: "0200000002110200000002010800" +
			"4500001d000540003f11249e0a0a03050a14000b" +
			"1519115c00094a3978",
	},
	{
		name: "client to server, TCP SYN",
		op:   opDNAT, addr: 0x0a14000b, port: 8080,
		in: "0200000001010200000001020800" +
			"4500002800014000400622b60a0a03050a0a0101" +
			"151a0050000003e800000000500272100c670000",
		want: "0200000002110200000002010800" +
			"45000028000140003f0624a20a0a03050a14000b" +
			"151a1f90000003e80000000050027210ee120000",
	},
	{
		name: "server to client, TCP SYN+ACK with options",
		op:   opSNAT, addr: 0x0a0a0101, port: 80,
		in: "0200000002010200000002110800" +
			"4500002c000040004006239f0a14000b0a0a0305" +
			"1f90151a5983238b000003e96012faf0d0560000020405b4",
		want: "0200000001020200000001010800" +
			"4500002c000040003f0623b30a0a01010a0a0305" +
			"0050151a5983238b000003e96012faf0eeaa0000020405b4",
	},
	{
		name: "client to server, SCTP INIT",
		op:   opDNAT, addr: 0x0a14000b, port: 8080,
		in: "0200000001010200000001020800" +
			"45000034000140004084222c0a0a03050a0a0101" +
			"0bb900500000000001013f6601000014010203040000ffff000a000a000003e8",
		want: "0200000002110200000002010800" +
			"45000034000140003f8424180a0a03050a14000b" +
			"0bb91f9000000000400f128401000014010203040000ffff000a000a000003e8",
	},
	{
		name: "server to client, SCTP DATA",
		op:   opSNAT, addr: 0x0a0a0101, port: 80,
		in: "0200000002010200000002110800" +
			"450200341c9b40004084067c0a14000b0a0a0305" +
			"1f900bb90102030491d82723000300142e3a75ae00000000000000007273310a",
		want: "0200000001020200000001010800" +
			"450200341c9b40003f8406900a0a01010a0a0305" +
			"00500bb901020304e8dbea63000300142e3a75ae00000000000000007273310a",
	},
	{
		name: "client to server, SCTP with a wrong CRC, which becomes a right one",
		op:   opDNAT, addr: 0x0a14000b, port: 8080,
		in: "0200000001010200000001020800" +
			"45000034000140004084222c0a0a03050a0a0101" +
			"0bcc0050000000001aa3050c01000014010203040000ffff000a000a000003e8",
		want: "0200000002110200000002010800" +
			"45000034000140003f8424180a0a03050a14000b" +
			"0bcc1f90000000000ef828ee01000014010203040000ffff000a000a000003e8",
	},
	{
		name: "client to server, UDP checksum becomes 0",
		op:   opDNAT, addr: 0x0a14000b, port: 5353,
		in: "0200000001010200000001020800" +
			"45000024004d4000401122630a0a03050a0a0101" +
			"14500035001013c8717569657441704b",
		want: "0200000002110200000002010800" +
			"45000024004d40003f11244f0a0a03050a14000b" +
			"145014e90010ffff717569657441704b",
	},
	{
		name: "client to server, UDP checksum becomes 1",
		op:   opDNAT, addr: 0x0a14000b, port: 5353,
		in: "0200000001010200000001020800" +
			"45000024004d4000401122630a0a03050a0a0101" +
			"14500035001013c9717569657441704a",
		want: "0200000002110200000002010800" +
			"45000024004d40003f11244f0a0a03050a14000b" +
			"145014e900100001717569657441704a",
	},
	{
		name: "client to server, UDP without checksum",
		op:   opDNAT, addr: 0x0a14000b, port: 5353,
		in: "0200000001010200000001020800" +
			"4500002500054000401122aa0a0a03050a0a0101" +
			"13f00035001100006563686f207a65726f",
		want: "0200000002110200000002010800" +
			"45000025000540003f1124960a0a03050a14000b" +
			"13f014e90011fd056563686f207a65726f",
	},
	{
		name: "server's own port unreachable",
		op:   opICMPOut, addr: 0x0a0a0102, port: 53,
		in: "0200000002010200000002110800" +
			"45c00039e74d000040017b890a14000b0a0a0305" +
			"03031445000000004500001d000540003f11249e0a0a03050a14000b1519115c00094a3978",
		want: "0200000001020200000001010800" +
			"45c00039e74d00003f017b9c0a0a01020a0a0305" +
			"0303256c000000004500001d000540003f1123b10a0a03050a0a01021519003500094a3978",
	},
	{
		name: "fragmentation needed from the server",
		op:   opICMPOut, addr: 0x0a0a0101, port: 80,
		in: "0200000002010200000002110800" +
			"4500004400030000400163890a14000b0a0a0305" +
			"03040ecc0000057845000028000140003f0624a20a0a03050a14000b151a1f90000003e9598323905010721070f00000",
		want: "0200000001020200000001010800" +
			"45000044000300003f01639d0a0a01010a0a0305" +
			"03042e0c0000057845000028000140003f0623b60a0a03050a0a0101151a0050000003e9598323905010721070f00000",
	},
	{
		name: "time exceeded from the server, 8 bytes of TCP",
		op:   opICMPOut, addr: 0x0a0a0101, port: 80,
		in: "0200000002010200000002110800" +
			"4500003800030000400163950a14000b0a0a0305" +
			"0b00bc6c0000000045000028000140003f0624a20a0a03050a14000b151a1f90000003e9",
		want: "0200000001020200000001010800" +
			"45000038000300003f0163a90a0a01010a0a0305" +
			"0b00dbac0000000045000028000140003f0623b60a0a03050a0a0101151a0050000003e9",
	},
	{
		name: "fragmentation needed from the client",
		op:   opICMPIn, addr: 0x0a14000b, port: 8080,
		in: "0200000001010200000001020800" +
			"4500004800030000400162990a0a03050a0a0101" +
			"03041020000005144500002c9a2940003f0689890a0a01010a0a03050050151a5983238c000003e95018faf062de00007273310a",
		want: "0200000002110200000002010800" +
			"45000048000300003f0164850a0a03050a14000b" +
			"0304f0df000005144500002c9a2940003f068a750a14000b0a0a03051f90151a5983238c000003e95018faf062de00007273310a",
	},
	{
		name: "port unreachable from the client, 8 bytes of TCP",
		op:   opICMPIn, addr: 0x0a14000b, port: 8080,
		in: "0200000001010200000001020800" +
			"4500003800030000400162a90a0a03050a0a0101" +
			"03036a83000000004500002c9a2940003f0689890a0a01010a0a03050050151a5983238c",
		want: "0200000002110200000002010800" +
			"45000038000300003f0164950a0a03050a14000b" +
			"03034b43000000004500002c9a2940003f068a750a14000b0a0a03051f90151a5983238c",
	},
}

const (
	echoRequest = "0200000001010200000001020800" +
		"4500003c00074000400122a10a0a03050a0a0101" +
		"0800f0aa004d00017070707070707070707070707070707070707070707070707070707070707070"
	echoReply = "0200000001020200000001010800" +
		"4500003c2b8b00004001371d0a0a01010a0a0305" +
		"0000f8aa004d00017070707070707070707070707070707070707070707070707070707070707070"
)

type translation int

const (
	opDNAT translation = iota
	opSNAT
	opICMPIn
	opICMPOut
)

// apply does what a director does with a packet of a connection.
func (op translation) apply(t *testing.T, frame []byte, addr uint32, port uint16) {
	t.Helper()
	p := mustParse(t, frame)
	DecrementTTL(frame, &p)
	switch op {
	case opDNAT:
		DNAT(frame, &p, addr, port, false)
	case opSNAT:
		SNAT(frame, &p, addr, port, false)
	default:
		var q Packet
		if !ICMPChecksumOK(frame, &p) || !ParseQuoted(frame, &p, &q) || !IsTranslatedICMPError(p.ICMPType) {
			t.Fatalf("ICMPChecksumOK, ParseQuoted or IsTranslatedICMPError = false, want true for %+v", p)
		}
		if op == opICMPIn {
			TranslateICMPIn(frame, &p, &q, addr, port)
		} else {
			TranslateICMPOut(frame, &p, &q, addr, port)
		}
		var again Packet
		if !ParseQuoted(frame, &p, &again) || q != again {
			t.Errorf("quoted packet after translation = %+v, want %+v as parsed again", q, again)
		}
	}
	if again := mustParse(t, frame); p != again {
		t.Errorf("packet after translation = %+v, want %+v as parsed again", p, again)
	}
}

func TestRecordedTranslations(t *testing.T) {
	for _, tt := range recorded {
		t.Run(tt.name, func(t *testing.T) {
			got, want := unhex(t, tt.in), unhex(t, tt.want)
			tt.op.apply(t, got, tt.addr, tt.port)
			SetMACs(got, [6]byte(want[0:6]), [6]byte(want[6:12]))
			if diff := cmp.Diff(hex.Dump(want), hex.Dump(got)); diff != "" {
				t.Errorf("frame differs from the kernel's (-kernel +got):\n%s", diff)
			}
		})
	}
}

func TestRecordedEchoReply(t *testing.T) {
	request, want := unhex(t, echoRequest), unhex(t, echoReply)
	p := mustParse(t, request)
	got := make([]byte, len(want))
	if n := EchoReply(got, request, &p, [6]byte(want[6:12])); n != len(want) {
		t.Fatalf("EchoReply() = %d, want %d", n, len(want))
	}
	// The kernel picks the identification; ours is the request's.
	copy(want[18:20], request[18:20])
	fixIPv4Checksum(want)
	if diff := cmp.Diff(hex.Dump(want), hex.Dump(got)); diff != "" {
		t.Errorf("reply differs from the kernel's (-kernel +got):\n%s", diff)
	}
}
