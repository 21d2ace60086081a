package rewrite

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tunnelled are packets that a real kernel IPVS (Linux 6.1) has put into tunnels:
// what it put in front, and what is inside.
var tunnelled = []struct {
	name   string
	tunnel Tunnel
	outer  string
	inner  string
}{
	{"ipip, SYN, DF", Tunnel{Kind: IPIP},
		"4500003c000040002004468b0a1400010a14000b" + "",
		"4500002812344000200630820a0a03050a0a010204570050000003e800000000500272101d290000"},
	{"ipip, no DF", Tunnel{Kind: IPIP},
		"4500003c5e7a00003f0409110a1400010a14000b" + "",
		"45000028123500003f0651810a0a03050a0a010204570050000003e96f38d85450107210d58c0000"},
	{"ipip, odd length", Tunnel{Kind: IPIP},
		"450000395e8600003f0409080a1400010a14000b" + "",
		"45000025000500003f1163a90a0a03050a0a010213ee0035001100006563686f207a65726f"},
	{"ipip, TOS", Tunnel{Kind: IPIP},
		"45b800315f2a00003f0407b40a1400010a14000b" + "",
		"45b8001d000940003f1122f50a0a03050a0a010213f3003500095b9978"},
	{"gre, SYN, DF", Tunnel{Kind: GRE},
		"4500004000004000202f465c0a1400010a14000b" + "00000800",
		"4500002812344000200630820a0a03050a0a010204570050000003e800000000500272101d290000"},
	{"gre, no DF", Tunnel{Kind: GRE},
		"450000406bc300003f2ffb980a1400010a14000b" + "00000800",
		"45000028123500003f0651810a0a03050a0a010204570050000003e94005227750107210ba9d0000"},
	{"gre-csum, SYN, DF", Tunnel{Kind: GRE, Checksum: true},
		"4500004400004000202f46580a1400010a14000b" + "8000080090340000",
		"4500002812344000200630820a0a03050a0a010204570050000003e800000000500272101d290000"},
	{"gre-csum, no DF", Tunnel{Kind: GRE, Checksum: true},
		"45000044ca1d00003f2f9d3a0a1400010a14000b" + "8000080090340000",
		"45000028123500003f0651810a0a03050a0a010204570050000003e94e00a5305010721029e90000"},
	{"gre-csum, odd length", Tunnel{Kind: GRE, Checksum: true},
		"45000041ca5300003f2f9d070a1400010a14000b" + "80000800a10b0000",
		"45000025000500003f1163a90a0a03050a0a010213ee0035001100006563686f207a65726f"},
	{"gue, SYN, DF", Tunnel{Kind: GUE, Port: 6080},
		"4500004800004000201146720a1400010a14000b" + "96b217c00034000000040000",
		"4500002812344000200630820a0a03050a0a010204570050000003e800000000500272101d290000"},
	{"gue, no DF", Tunnel{Kind: GUE, Port: 6080},
		"4500004813e800003f11538a0a1400010a14000b" + "96b217c00034000000040000",
		"45000028123500003f0651810a0a03050a0a010204570050000003e9654223d45010721094030000"},
	{"gue-csum, SYN, DF", Tunnel{Kind: GUE, Port: 6080, Checksum: true},
		"4500004800004000201146720a1400010a14000b" + "96b217c00034551100040000",
		"4500002812344000200630820a0a03050a0a010204570050000003e800000000500272101d290000"},
	{"gue-csum, no DF", Tunnel{Kind: GUE, Port: 6080, Checksum: true},
		"450000480f2800003f11584a0a1400010a14000b" + "96b217c00034551100040000",
		"45000028123500003f0651810a0a03050a0a010204570050000003e959859558501072102e3c0000"},
	{"gue-csum, odd length", Tunnel{Kind: GUE, Port: 6080, Checksum: true},
		"450000450fa300003f1157d20a1400010a14000b" + "aed917c000314dc700040000",
		"45000025000500003f1163a90a0a03050a0a010213ee0035001100006563686f207a65726f"},
}

const tunnelMACs = "0200000002110200000002010800"

// flowFor returns a flow hash from which GUE's source port follows.
func flowFor(port uint16) uint32 {
	const ports = gueSrcLast - gueSrcPort + 1
	return uint32((uint64(port-gueSrcPort)<<32 + ports - 1) / ports)
}

func TestRecordedTunnels(t *testing.T) {
	for _, tt := range tunnelled {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tunnelMACs+tt.outer+tt.inner)
			o := Outer{
				Src: binary.BigEndian.Uint32(want[26:]), Dst: binary.BigEndian.Uint32(want[30:]),
				ID: binary.BigEndian.Uint16(want[18:]), DF: want[20]&0x40 != 0,
			}
			if tt.tunnel.Kind == GUE {
				o.Flow = flowFor(binary.BigEndian.Uint16(want[34:]))
			}
			got := append(bytes.Repeat([]byte{0xee}, tt.tunnel.Overhead()), unhex(t, tunnelMACs+tt.inner)...)
			got = append(got, 0, 0, 0) // Ethernet padding
			n := Encapsulate(got, tt.tunnel, &o)
			if diff := cmp.Diff(hex.Dump(want), hex.Dump(got[:n])); diff != "" {
				t.Errorf("frame differs from the kernel's (-kernel +got):\n%s", diff)
			}
			p := mustParse(t, want)
			if !ChecksumOK(want, &p) {
				t.Error("ChecksumOK = false")
			}
			want[n-1] ^= 1
			if ok := ChecksumOK(want, &p); ok == tt.tunnel.Checksum {
				t.Errorf("ChecksumOK = %v of one that was damaged, with a checksum: %v", ok, tt.tunnel.Checksum)
			}
		})
	}
}

// TestGUEChecksumZero: a computed checksum of 0 goes out as 0xffff, as 0 says that
// there is none.
func TestGUEChecksumZero(t *testing.T) {
	tunnel := Tunnel{Kind: GUE, Port: 6080, Checksum: true}
	inner := unhex(t, tunnelMACs+tunnelled[0].inner)
	sumFor := func(id uint16) uint16 { // of a packet with these two bytes in it
		buf := append(make([]byte, tunnel.Overhead()), inner...)
		binary.BigEndian.PutUint16(buf[tunnel.Overhead()+EthernetLen+4:], id)
		Encapsulate(buf, tunnel, &Outer{Src: vip, Dst: rip})
		return binary.BigEndian.Uint16(buf[40:])
	}
	// Ones' complement: adding the checksum itself makes the sum all ones.
	id := fold(uint32(sumFor(0)))
	if got := sumFor(id); got != 0xffff {
		t.Errorf("checksum = %#04x, want 0xffff", got)
	}
}

// TestEncapsulateTooLong: a packet that no outer header can state stays as it is.
func TestEncapsulateTooLong(t *testing.T) {
	for _, tt := range []struct {
		total int
		want  int
	}{{65535 - 20, EthernetLen + 65535}, {65535 - 19, 0}} {
		buf := make([]byte, 20+EthernetLen+tt.total)
		buf[20+EthernetLen] = 0x45
		binary.BigEndian.PutUint16(buf[20+EthernetLen+2:], uint16(tt.total))
		before := bytes.Clone(buf)
		n := Encapsulate(buf, Tunnel{}, &Outer{Src: vip, Dst: rip})
		if n != tt.want || n == 0 && !bytes.Equal(buf, before) {
			t.Errorf("Encapsulate of %d bytes = %d, want %d, and nothing changed with 0", tt.total, n, tt.want)
		}
	}
}

// drawTunnel draws the form of a tunnel as its headers show it.
func drawTunnel(t *rapid.T) Tunnel {
	tunnel := Tunnel{Kind: TunnelKind(rapid.IntRange(0, 2).Draw(t, "kind"))}
	if tunnel.Kind == GUE {
		tunnel.Port = rapid.Uint16Min(1).Draw(t, "port")
	}
	tunnel.Checksum = tunnel.Kind != IPIP && rapid.Bool().Draw(t, "checksum")
	return tunnel
}

// TestParseTunnelled: what an ICMP error quotes of a tunnel's packet is found again,
// if it is enough of it.
func TestParseTunnelled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := tunnelled[rapid.IntRange(0, len(tunnelled)-1).Draw(t, "packet")]
		inner, _ := hex.DecodeString(tunnelMACs + r.inner)
		tunnel := drawTunnel(t)
		buf := append(make([]byte, tunnel.Overhead()), inner...)
		n := Encapsulate(buf, tunnel, &Outer{Src: vip, Dst: rip, DF: true})

		var outer, want, p, q, got Packet
		if ParseIPv4(buf[:n], &outer) != FaultNone || ParseIPv4(inner, &want) != FaultNone {
			t.Fatal("the packets are not what they were made to be")
		}
		buf[6] = 2 // from one station
		msg := make([]byte, MaxICMPError)
		msg = msg[:ICMPError(msg, buf[:n], &outer, vipMAC, ICMPAnswer{Type: 3, Code: 4, Rest: 1400, Src: rip})]
		quoted := rapid.IntRange(0, len(msg)-EthernetLen-28).Draw(t, "quoted")
		msg = msg[:EthernetLen+28+quoted]
		binary.BigEndian.PutUint16(msg[16:], uint16(28+quoted))
		fixIPv4Checksum(msg)
		if ParseIPv4(msg, &p) != FaultNone || !ParseQuoted(msg, &p, &q) {
			if quoted >= 24 {
				t.Fatalf("ParseQuoted of %d bytes = false", quoted)
			}
			return
		}
		if got := ICMPNextMTU(msg, &p); got != 1400 {
			t.Errorf("ICMPNextMTU = %d, want 1400", got)
		}
		form, ok := ParseTunnelled(msg, &q, &got)
		enough := quoted >= tunnel.Overhead()+28
		if ok != enough {
			t.Fatalf("ParseTunnelled of %d quoted bytes, %d of them in front of the inner header = %v, want %v", quoted, tunnel.Overhead(), ok, enough)
		}
		if !ok {
			return
		}
		if form != tunnel {
			t.Errorf("tunnel = %+v, want %+v", form, tunnel)
		}
		if got.Src != want.Src || got.Dst != want.Dst || got.SrcPort != want.SrcPort || got.DstPort != want.DstPort || got.Proto != want.Proto {
			t.Errorf("inner packet = %+v, want %+v", got, want)
		}
		if got.L3 != EthernetLen+28+tunnel.Overhead() || got.End > len(msg) {
			t.Errorf("inner packet from %d to %d in an error of %d bytes", got.L3, got.End, len(msg))
		}
	})
}

// TestNoTunnel: headers that natlb does not write are no tunnel's.
func TestNoTunnel(t *testing.T) {
	const inner = "4500002812344000200630820a0a03050a0a010204570050000003e800000000"
	for _, tt := range []struct{ name, packet string }{
		{"GRE with a key", "4500004800004000202f00000a1400010a14000b" + "20000800" + "00000001" + inner},
		{"GRE with another protocol inside", "4500004400004000202f00000a1400010a14000b" + "000086dd" + inner},
		{"UDP that is not GUE", "4500004c00004000201100000a1400010a14000b" + "96b217c000340000" + "00290000" + inner},
		{"IPv6 inside", "4500003c00004000200400000a1400010a14000b" + "6" + inner[1:]},
		{"a later fragment inside", "4500003c00004000200400000a1400010a14000b" + "45000028123400b9" + inner[16:]},
		{"TCP", "4500003c00004000200600000a1400010a14000b" + inner},
	} {
		error := unhex(t, tunnelMACs+"4500000000000000400100000a14000b0a140001"+"0304000000000578"+tt.packet)
		binary.BigEndian.PutUint16(error[16:], uint16(len(error)-EthernetLen))
		fixIPv4Checksum(error)
		p, q := mustParse(t, error), Packet{}
		if !ParseQuoted(error, &p, &q) {
			t.Fatalf("%s: not a quoted packet", tt.name)
		}
		if form, ok := ParseTunnelled(error, &q, &q); ok {
			t.Errorf("%s: ParseTunnelled = %+v, want false", tt.name, form)
		}
	}
}
