package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// mirror6 returns the frame of the answer: addresses and ports exchanged, which
// changes no checksum.
func mirror6(frame []byte) []byte {
	frame = bytes.Clone(frame)
	swap := func(a, b []byte) {
		for i := range a {
			a[i], b[i] = b[i], a[i]
		}
	}
	swap(frame[22:38], frame[38:54])
	if l4, proto := walk6(frame, 14); CarriesPorts(proto) {
		swap(frame[l4:l4+2], frame[l4+2:l4+4])
	}
	return frame
}

// TestThereAndBack6: what DNAT6 does to a request, SNAT6 undoes in the answer.
func TestThereAndBack6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, partial := drawFrame6(t), rapid.Bool().Draw(t, "partial")
		if partial {
			setSum6(frame, true)
		}
		want := mirror6(frame)
		p := mustParse6(t, frame)
		orig := p
		DNAT6(frame, &p, drawAddr6(t, "rip"), rapid.Uint16().Draw(t, "rport"), partial)
		if again := mustParse6(t, frame); p != again {
			t.Fatalf("packet after DNAT6 = %+v, want %+v", p, again)
		}
		answer := mirror6(frame)
		p = mustParse6(t, answer)
		SNAT6(answer, &p, orig.Dst6, orig.DstPort, partial)
		if again := mustParse6(t, answer); p != again {
			t.Fatalf("packet after SNAT6 = %+v, want %+v", p, again)
		}
		if !bytes.Equal(answer, want) {
			t.Fatalf("after DNAT6 and SNAT6 (partial %v):\n got % x\nwant % x", partial, answer, want)
		}
	})
}

// TestNATChecksums6: incremental updates, and finishing a partial checksum after NAT,
// give what a computation over the whole packet gives.
func TestNATChecksums6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame, partial := drawFrame6(t), rapid.Bool().Draw(t, "partial")
		if partial {
			setSum6(frame, true)
		}
		want := bytes.Clone(frame)
		p := mustParse6(t, frame)
		addr, port := drawAddr6(t, "addr"), rapid.Uint16().Draw(t, "port")
		at, portAt := 38, 2
		if rapid.Bool().Draw(t, "source") {
			at, portAt = 22, 0
			SNAT6(frame, &p, addr, port, partial)
		} else {
			DNAT6(frame, &p, addr, port, partial)
		}
		DecrementTTL(frame, &p)
		addr.Put(want[at:])
		if want[21]--; CarriesPorts(p.Proto) {
			binary.BigEndian.PutUint16(want[p.L4+portAt:], port)
		}
		setSum6(want, partial)
		if !bytes.Equal(frame, want) {
			t.Fatalf("after NAT (partial %v):\n got % x\nwant % x", partial, frame, want)
		}
		if p.TTL != want[21] {
			t.Fatalf("hop limit %d, want %d", p.TTL, want[21])
		}
		if partial {
			CompleteChecksum(frame, p.L4, sumAt6(p.Proto))
			checkSum6(t, frame)
		}
	})
}

// TestWrongChecksumStaysWrong6: NAT must not hide corruption.
func TestWrongChecksumStaysWrong6(t *testing.T) {
	frame := tcpFrame6(t, nil, layers.TCP{ACK: true}, []byte("payload"))
	frame[76] ^= 0x10
	p := mustParse6(t, frame)
	DNAT6(frame, &p, rip6, 8080, false)
	if slowSum6(frame) == 0xffff {
		t.Error("the checksum of a corrupt segment is right after DNAT6")
	}
}

func TestMissingUDPChecksum6(t *testing.T) {
	none := func(chain []ext, payload []byte) []byte {
		frame := udpFrame6(t, chain, payload)
		l4, _ := walk6(frame, 14)
		frame[l4+6], frame[l4+7] = 0, 0
		return frame
	}
	t.Run("computed", func(t *testing.T) {
		frame := none([]ext{destOpts}, []byte("payload"))
		p := mustParse6(t, frame)
		DNAT6(frame, &p, rip6, 5353, false)
		checkSum6(t, frame)
	})
	t.Run("over what the UDP length covers", func(t *testing.T) {
		frame := none(nil, []byte("payload and more"))
		frame[59] = 8 + 7
		p := mustParse6(t, frame)
		SNAT6(frame, &p, rip6, 5353, false)
		if sum := slowSum(slowPseudo6(frame, ProtoUDP, 15), frame[54:69]); sum != 0xffff {
			t.Errorf("datagram inside a longer packet sums to %#04x, want 0xffff", sum)
		}
	})
	t.Run("computed 0 becomes ffff", func(t *testing.T) {
		frame := none(nil, []byte{0, 0})
		p := mustParse6(t, frame)
		// The last word makes up for all others, so that the checksum comes to 0.
		setSum6(frame, false)
		copy(frame[62:], frame[60:62])
		frame[60], frame[61] = 0, 0
		DNAT6(frame, &p, p.Dst6, p.DstPort, false)
		if frame[60] != 0xff || frame[61] != 0xff {
			t.Errorf("checksum = % x, want ff ff", frame[60:62])
		}
	})
	t.Run("none in a first fragment", func(t *testing.T) {
		frame := none([]ext{firstFrag}, nil)
		p := mustParse6(t, frame)
		DNAT6(frame, &p, rip6, 5353, false)
		if frame[68] != 0 || frame[69] != 0 || p.DstPort != 5353 || frame[65] != 5353&0xff {
			t.Errorf("first fragment after DNAT6 = % x, want port 5353 and checksum 0", frame)
		}
	})
}

// TestAddressesOnly6: of a protocol without ports, and of later fragments, only the
// address changes.
func TestAddressesOnly6(t *testing.T) {
	later := frame6(cip6, vip6, 9, []ext{laterFrag}, ProtoICMPv6, []byte("payload of the rest"))
	for name, frame := range map[string][]byte{
		"later fragment":         later,
		"later fragment of UDP":  frame6(cip6, vip6, 9, []ext{laterFrag}, ProtoUDP, []byte("payload of the rest")),
		"esp":                    frame6(cip6, vip6, 9, nil, 50, []byte("opaque!!")),
		"icmp of IPv4":           frame6(cip6, vip6, 9, nil, ProtoICMP, []byte("eight...")),
		"icmp too short":         frame6(cip6, vip6, 9, nil, ProtoICMPv6, []byte("7 bytes")),
		"behind authentication":  frame6(cip6, vip6, 9, nil, 51, append([]byte{ProtoTCP, 4}, make([]byte, 42)...)),
		"routing not at its end": frame6(cip6, vip6, 9, []ext{{ExtRouting, []byte{0, 0, 1, 0, 0, 0, 0}}}, ProtoUDP, make([]byte, 8)),
	} {
		want := bytes.Clone(frame)
		rip6.Put(want[38:])
		Addr6{1, 2}.Put(want[22:])
		var p, again Packet
		ParseIPv6(frame, &p)
		DNAT6(frame, &p, rip6, 8080, false)
		SNAT6(frame, &p, Addr6{1, 2}, 8080, true)
		if !bytes.Equal(frame, want) {
			t.Errorf("%s after NAT:\n got % x\nwant % x", name, frame, want)
		}
		if ParseIPv6(frame, &again); p != again {
			t.Errorf("%s: packet after NAT = %+v, want %+v", name, p, again)
		}
	}
}

func TestSCTPChecksum6(t *testing.T) {
	sctp := []byte("\x15\x19\x00\x50tagtag__chunks")
	frame := frame6(cip6, vip6, 9, []ext{hopByHop}, ProtoSCTP, sctp)
	p := mustParse6(t, frame)
	DNAT6(frame, &p, rip6, 80, false)
	if string(frame[62:]) != string(sctp) {
		t.Errorf("SCTP after a change of address only = % x, want it unchanged", frame[62:])
	}
	DNAT6(frame, &p, rip6, 8080, false)
	want := bytes.Clone(frame[62:])
	setSCTPChecksum(want)
	if binary.BigEndian.Uint16(frame[64:]) != 8080 || !bytes.Equal(frame[62:], want) || string(frame[70:74]) == string(sctp[8:12]) {
		t.Errorf("SCTP after DNAT6 = % x, want % x", frame[62:], want)
	}
}

func TestTranslate6DoesNotAllocate(t *testing.T) {
	orig := tcpFrame6(t, []ext{hopByHop}, layers.TCP{ACK: true}, []byte("payload"))
	frame := make([]byte, len(orig))
	run := func() {
		copy(frame, orig)
		var p Packet
		Parse(frame, &p)
		DNAT6(frame, &p, rip6, 8080, false)
		SNAT6(frame, &p, vip6, 80, false)
		DecrementTTL(frame, &p)
	}
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("parse, DNAT6 and SNAT6 allocate %v times per packet, want 0", n)
	}
}

// TestCompleteChecksum6: padding behind an IPv6 packet does not count.
func TestCompleteChecksum6(t *testing.T) {
	frame := append(udpFrame6(t, nil, []byte("abc")), 1, 2, 3)
	setSum6(frame, true)
	if !CompleteChecksum(frame, 54, 6) {
		t.Fatal("CompleteChecksum = false")
	}
	checkSum6(t, frame)
	if CompleteChecksum(frame, 64, 0) {
		t.Error("CompleteChecksum of a field that reaches into the padding = true")
	}
}
