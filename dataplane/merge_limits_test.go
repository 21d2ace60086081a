package dataplane

import (
	"encoding/binary"
	"testing"

	"natlb/rewrite"
)

// TestMergerLimits: what a batch becomes at the bounds of what one super-packet may be,
// and of what it can say.
func TestMergerLimits(t *testing.T) {
	stream := func(n, payload int, change func(i int, f *Frame)) (fs []Frame) {
		for i := range n {
			f := Frame{Data: flowFrame(rewrite.ProtoTCP, 1, uint16(i), uint32(i*payload), payload)}
			if change != nil {
				change(i, &f)
				sumFrame(f.Data)
			}
			fs = append(fs, f)
		}
		return fs
	}
	valid := func(fs []Frame) []Frame { // as a link says that has looked at the checksums
		for i := range fs {
			fs[i].Offload.Flags = OffloadDataValid
		}
		return fs
	}
	datagrams := func(n int, change func(i int, b []byte)) (fs []Frame) {
		for i := range n {
			b := flowFrame(rewrite.ProtoUDP, 1, uint16(i), 0, 100)
			if change != nil {
				change(i, b)
			}
			fs = append(fs, Frame{Data: b})
		}
		return fs
	}
	for _, tt := range []struct {
		name string
		fs   []Frame
		want int
	}{
		{"segments that fill one", stream(45, 1448, nil), 1},
		{"more than an IP packet holds", stream(46, 1448, nil), 2},
		{"as many parts as the kernel takes", stream(64, 100, nil), 1},
		{"more parts", stream(65, 100, nil), 2},
		{"a super-packet among segments", stream(3, 1000, func(i int, f *Frame) {
			if i == 1 {
				f.Offload = Offload{Flags: OffloadNeedsCsum, GSO: GSOTCPv4, GSOSize: 500, HdrLen: 54, CsumStart: 34, CsumOffset: 16}
			}
		}), 3},
		{"reserved bits in all of them", stream(2, 1000, func(_ int, f *Frame) { f.Data[46] |= 1 }), 2},
		{"ECN-echo in all of them", stream(2, 1000, func(_ int, f *Frame) { f.Data[47] |= 0x40 }), 2},
		{"congestion experienced by the second", stream(2, 1000, func(i int, f *Frame) { f.Data[15] = byte(2 + i) }), 2},
		{"congestion experienced by both", stream(2, 1000, func(_ int, f *Frame) { f.Data[15] = 3 }), 1},
		{"datagrams", datagrams(2, nil), 1},
		{"datagrams without a checksum", valid(datagrams(2, func(_ int, b []byte) { b[40], b[41] = 0, 0 })), 2},
		{"datagrams with bytes behind them", datagrams(2, func(_ int, b []byte) {
			binary.BigEndian.PutUint16(b[38:], 100)
			sumFrame(b)
		}), 2},
	} {
		m := newMerger(len(tt.fs), false)
		if got := m.plan(tt.fs); got != tt.want {
			t.Errorf("%s: %d frames become %d messages, want %d", tt.name, len(tt.fs), got, tt.want)
		}
	}
}

// TestMergerOfIPv6: a stream of IPv6 is merged under its own name.
func TestMergerOfIPv6(t *testing.T) {
	var fs []Frame
	for i := range 3 {
		b := make([]byte, 54+20+1000)
		b[12], b[13], b[14], b[20], b[21] = 0x86, 0xdd, 0x60, rewrite.ProtoTCP, 64
		binary.BigEndian.PutUint16(b[18:], 1020)
		b[22], b[38] = 0xfd, 0xfd
		binary.BigEndian.PutUint32(b[58:], uint32(1000*i))
		b[66], b[67] = 5<<4, rewrite.TCPAck
		fs = append(fs, Frame{Data: b, Offload: Offload{Flags: OffloadDataValid}})
	}
	m := newMerger(len(fs), false)
	if n := m.plan(fs); n != 1 {
		t.Fatalf("3 segments become %d messages, want 1", n)
	}
	want := Offload{Flags: OffloadNeedsCsum, GSO: GSOTCPv6, HdrLen: 74, GSOSize: 1000, CsumStart: 54, CsumOffset: 16}
	if fs[0].Offload != want {
		t.Errorf("the super-packet has %+v, want %+v", fs[0].Offload, want)
	}
}
