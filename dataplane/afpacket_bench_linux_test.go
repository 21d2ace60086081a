package dataplane

import (
	"fmt"
	"net"
	"testing"
)

// BenchmarkAFPacket moves batches of 64 frames over a veth pair: move=send to a
// far end that discards them, move=send-recv to a second Port there. One
// operation is one frame; the kernel's own work for both ends is in it.
func BenchmarkAFPacket(b *testing.B) {
	for _, bytes := range []int{60, 1514, 65000} {
		for _, recv := range []bool{false, true} {
			move := "send"
			if recv {
				move = "send-recv"
			}
			b.Run(fmt.Sprintf("move=%s/bytes=%d", move, bytes), func(b *testing.B) {
				benchmarkAFPacket(b, bytes, recv)
			})
		}
	}
}

func benchmarkAFPacket(b *testing.B, bytes int, recv bool) {
	l := newWireLab(b, 1)
	p := l.open(0, AFPacketConfig{Filter: filterNothing()})
	var far *AFPacket
	var err error
	l.on(0, func() { far, err = OpenAFPacket(AFPacketConfig{Interface: "eth0", Filter: filterNothing()}) })
	l.must(err)
	defer far.Close()
	if recv {
		l.must(p.SetFilter(FilterIPv4ARP()))
	}
	out, in := make([]Frame, DefaultBatch), make([]Frame, DefaultBatch)
	for i := range out {
		out[i] = benchFrame(l, bytes)
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for done := 0; b.Loop(); done++ {
		if done%DefaultBatch != 0 {
			continue
		}
		if n, err := far.Send(out); n != len(out) || err != nil {
			b.Fatalf("Send = %d, %v, want %d, nil", n, err, len(out))
		}
		for got := 0; recv && got < len(out); {
			got += len(l.next(p, in))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pkts/s")
}

// benchFrame is a datagram, as a UDP super-packet when it exceeds the MTU.
func benchFrame(l *wireLab, bytes int) Frame {
	near, far := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr
	f := Frame{Data: l.udpFrame(near, far, net.ParseIP(strangerIP), bytes)}
	if bytes > 1514 {
		f.Offload = Offload{Flags: OffloadNeedsCsum, GSO: GSOUDPL4, HdrLen: 42, GSOSize: 1472, CsumStart: 34, CsumOffset: 6}
	}
	return f
}
