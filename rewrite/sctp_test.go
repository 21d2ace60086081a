package rewrite

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// sctpPacket returns an SCTP packet of the client with these chunks and a right
// CRC.
func sctpPacket(t errorer, tag uint32, chunks string) []byte {
	l4 := binary.BigEndian.AppendUint32([]byte("\x15\x19\x00\x50"), tag)
	l4 = append(append(l4, 0, 0, 0, 0), chunks...)
	binary.LittleEndian.PutUint32(l4[8:], crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli)))
	return build(t, ipv4Layer(layers.IPProtocolSCTP), rawL4(l4))
}

const (
	cookieAck = "\x0b\x00\x00\x04"
	abort     = "\x06\x00\x00\x04"
)

// TestChunk: which chunk of a packet counts, whatever the lengths say.
func TestChunk(t *testing.T) {
	for _, tt := range []struct {
		name, chunks string
		want         int16
	}{
		{"none", "", NoChunk},
		{"half a header", "\x01\x00\x00", NoChunk},
		{"DATA", "\x00\x03\x00\x11", 0},
		{"a type that nobody knows", "\xff\x00\x00\x04", 255},
		{"ABORT behind SACK is not seen", "\x03\x00\x00\x04" + abort, 3},
		{"COOKIE ACK alone", cookieAck, 11},
		{"COOKIE ACK and ABORT", cookieAck + abort, 6},
		{"COOKIE ECHO with an odd cookie, its padding and ABORT", "\x0a\x00\x00\x05c\x00\x00\x00" + abort, 6},
		{"COOKIE ECHO and ABORT where the padding should be", "\x0a\x00\x00\x05c" + abort, 10},
		{"COOKIE ECHO of length 0", "\x0a\x00\x00\x00" + abort, 10},
		{"COOKIE ECHO of length 3", "\x0a\x00\x00\x03" + abort, 10},
		{"COOKIE ECHO longer than the packet", "\x0a\x00\xff\xff" + abort, 10},
		{"COOKIE ACK and half of an ABORT", cookieAck + abort[:3], 11},
		{"COOKIE ACK, SACK, ABORT", cookieAck + "\x03\x00\x00\x04" + abort, 11},
	} {
		if p := mustParse(t, sctpPacket(t, 1, tt.chunks)); p.Chunk != tt.want {
			t.Errorf("%s: chunk %d, want %d", tt.name, p.Chunk, tt.want)
		}
	}
	ip := ipv4Layer(layers.IPProtocolSCTP)
	ip.Flags = layers.IPv4MoreFragments
	if p := mustParse(t, build(t, ip, rawL4("\x15\x19\x00\x50tagtag__"))); p.Chunk != NoChunk {
		t.Errorf("a first fragment of 12 bytes has chunk %d", p.Chunk)
	}
}

// recordedRefusals are packets without an association to a host with SCTP (Linux
// 6.1), from their IP headers on, and what it answered.
var recordedRefusals = []struct{ name, in, want string }{
	{
		"DATA", "45000034000140004084222c0a0a03050a0a01010bc200500000004ddb628f4700030011000003e8000000000000000078000000",
		"45020024000040004084223b0a0a01010a0a030500500bc20000004d410d747606010004",
	},
	{
		"SHUTDOWN ACK", "45000024000140004084223c0a0a03050a0a01010bc300500000004d60d5dfb008000004",
		"45020024000040004084223b0a0a01010a0a030500500bc30000004dc256e2b00e010004",
	},
	{"ABORT", "45000024000140004084223c0a0a03050a0a01010bc400500000004d02219ab106000004", ""},
	{
		"COOKIE ECHO", "45000024000140004084223c0a0a03050a0a01010bc500500000004d168e725b0a000004",
		"45020024000040004084223b0a0a01010a0a030500500bc50000004d7aa44ae406010004",
	},
	{
		"HEARTBEAT", "45000024000140004084223c0a0a03050a0a01010bc600500000004d81f8e0c104000004",
		"45020024000040004084223b0a0a01010a0a030500500bc60000004dd5ec3cb506010004",
	},
	{
		"INIT", "45000034000140004084222b0a0a03050a0a01020bcd005000000000c296a27401000014010203040000ffff000a000a000003e8",
		"45020024000040004084223a0a0a01020a0a030500500bcd01020304d229911d06000004",
	},
}

func TestRecordedRefusals(t *testing.T) {
	for _, tt := range recordedRefusals {
		frame := unhex(t, "020000000101020000000102"+"0800"+tt.in)
		p := mustParse(t, frame)
		dst := make([]byte, SCTPRefusalLen)
		n := SCTPRefusal(dst, frame, &p, vipMAC, false)
		if tt.want == "" {
			if n != 0 {
				t.Errorf("%s was answered with % x", tt.name, dst[:n])
			}
			continue
		}
		want := append(unhex(t, "020000000102"), vipMAC[:]...)
		want = append(append(want, 8, 0), unhex(t, tt.want)...)
		want[15] = 0 // the kernel says that it can do ECN
		fixIPv4Checksum(want)
		if diff := cmp.Diff(hex.Dump(want), hex.Dump(dst[:n])); diff != "" {
			t.Errorf("answer to %s differs from the kernel's (-kernel +got):\n%s", tt.name, diff)
		}
	}
}

// TestRefusalOwed: to what an answer is owed beyond the recorded, and to what not.
func TestRefusalOwed(t *testing.T) {
	init := "\x01\x00\x00\x14\x00\x00\x00\x07\x00\x00\xff\xff\x00\x0a\x00\x0a\x00\x00\x00\x01"
	sack := "\x03\x00\x00\x10" + "123456789012"
	for _, tt := range []struct {
		name   string
		tag    uint32
		chunks string
		want   string // tag, type and flags of the answer; "" for none
	}{
		{"SACK", 7, sack, "\x00\x00\x00\x07\x06\x01"},
		{"INIT", 0, init, "\x00\x00\x00\x07\x06\x00"},
		{"INIT with a tag", 7, init, ""},
		{"INIT and more", 0, init + sack, ""},
		{"INIT behind more", 0, sack + init, ""},
		{"INIT that is short", 0, "\x01\x00\x00\x08\x00\x00\x00\x07", ""},
		{"INIT with a tag of 0 in it", 0, init[:4] + "\x00\x00\x00\x00" + init[8:], ""},
		{"INIT with an odd parameter", 0, "\x01\x00\x00\x17" + init[4:] + "\x80\x00\x03\x00", "\x00\x00\x00\x07\x06\x00"},
		{"SACK and SHUTDOWN ACK", 7, sack + "\x08\x00\x00\x04", "\x00\x00\x00\x07\x0e\x01"},
		{"SACK and ABORT", 7, sack + abort, ""},
		{"SHUTDOWN COMPLETE", 7, "\x0e\x00\x00\x04", ""},
		{"COOKIE ACK", 7, cookieAck, ""},
		{"ERROR, stale cookie", 7, "\x09\x00\x00\x0c\x00\x03\x00\x08\x00\x00\x00\x01", ""},
		{"ERROR of another kind", 7, "\x09\x00\x00\x08\x00\x06\x00\x04", "\x00\x00\x00\x07\x06\x01"},
		{"ERROR without a cause", 7, "\x09\x00\x00\x04", "\x00\x00\x00\x07\x06\x01"},
		{"no chunk", 7, "", ""},
		{"a chunk of length 0", 7, "\x00\x00\x00\x00", ""},
		{"a chunk of length 3 behind a good one", 7, sack + "\x00\x00\x00\x03", ""},
		{"a chunk longer than the packet", 7, "\x00\x03\x00\x09data", ""},
		{"a last chunk without its padding", 7, "\x00\x03\x00\x05d", "\x00\x00\x00\x07\x06\x01"},
		{"three bytes behind the last chunk", 7, sack + "\x00\x00\x00", "\x00\x00\x00\x07\x06\x01"},
	} {
		frame := sctpPacket(t, tt.tag, tt.chunks)
		p := mustParse(t, frame)
		dst := make([]byte, SCTPRefusalLen)
		got, room := "", 50
		if n := SCTPRefusal(dst, frame, &p, routerMAC, false); n > 0 {
			decode(t, dst[:n])
			again := mustParse(t, dst[:n])
			if again.SrcPort != p.DstPort || again.DstPort != p.SrcPort || !ChecksumOK(dst[:n], &again) {
				t.Errorf("answer to %s: % x", tt.name, dst[:n])
			}
			got = string(dst[38:42]) + string(dst[46:48])
		}
		if got != tt.want {
			t.Errorf("answer to %s = %q, want %q", tt.name, got, tt.want)
		}
		// The same in IPv6, which no sum of SCTP's knows of.
		_, l4 := split(frame)
		six := frame6(cip6, vip6, 64, []ext{destOpts}, ProtoSCTP, l4)
		q, answer := mustParse6(t, six), make([]byte, SCTPRefusalLen)
		if n := SCTPRefusal(answer, six, &q, routerMAC, false); n > 0 != (got != "") || n > 0 && (n != SCTPRefusalLen || string(answer[54:n]) != string(dst[34:room])) {
			t.Errorf("answer to %s in IPv6:\n% x\nand in IPv4:\n% x", tt.name, answer[:n], dst)
		} else if n > 0 {
			if a := mustParse6(t, answer); a.Src6 != vip6 || a.Dst6 != cip6 || a.TTL != 64 || a.L4 != 54 {
				t.Errorf("answer to %s in IPv6 is %+v", tt.name, a)
			}
		}
		if n := SCTPRefusal(dst[:room-1], frame, &p, routerMAC, false); n != 0 {
			t.Errorf("answer to %s wrote %d bytes into less", tt.name, n)
		}
	}
	frame := sctpPacket(t, 7, sack)
	frame[len(frame)-1]++
	p := mustParse(t, frame)
	for sound, want := range map[bool]int{false: 0, true: 50} {
		if n := SCTPRefusal(make([]byte, 100), frame, &p, routerMAC, sound); n != want {
			t.Errorf("answer to a wrong CRC, known to be right %v: %d bytes, want %d", sound, n, want)
		}
	}
	p.Src = 0xe0000001
	if n := SCTPRefusal(make([]byte, 100), frame, &p, routerMAC, true); n != 0 {
		t.Error("a group was answered")
	}
}

// TestCompleteSCTP: a CRC that was left to the device is computed as a CRC.
func TestCompleteSCTP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := sctpPacket(t, rapid.Uint32().Draw(t, "tag"), string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "chunks")))
		frame := append(bytes.Clone(want), 0xde, 0xad) // Ethernet padding
		copy(frame[42:46], "junk")
		if !CompleteChecksum(frame, 34, 8) {
			t.Fatal("CompleteChecksum of SCTP = false")
		}
		if !bytes.Equal(frame[:len(want)], want) {
			t.Fatalf("completed:\n got % x\nwant % x", frame, want)
		}
		p := mustParse(t, want)
		if !ChecksumOK(want, &p) {
			t.Fatal("a right CRC is found wrong")
		}
		want[rapid.IntRange(34, p.End-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if ChecksumOK(want, &p) {
			t.Fatal("a wrong CRC is found right")
		}
	})
	frame := build(t, ipv4Layer(layers.IPProtocolSCTP), rawL4("\x15\x19\x00\x50tagtag"))
	if before := bytes.Clone(frame); CompleteChecksum(frame, 34, 8) || !bytes.Equal(frame, before) {
		t.Error("half a CRC was completed")
	}
}
