package rewrite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// sack makes the option of blocks with these edges.
func sack(edges ...uint32) layers.TCPOption {
	var data []byte
	for _, e := range edges {
		data = binary.BigEndian.AppendUint32(data, e)
	}
	return layers.TCPOption{OptionType: layers.TCPOptionKindSACK, OptionLength: uint8(2 + len(data)), OptionData: data}
}

// TestTCPNumbers compares with a segment that has the new numbers from the
// beginning: sequence number, acknowledgement and SACK edges, at even and odd
// places.
func TestTCPNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := func(name string) uint32 { return rapid.Uint32().Draw(t, name) }
		shift, seq, ack, left, right := number("shift"), number("seq"), number("ack"), number("left"), number("right")
		payload := drawPayload(t)
		lead := rapid.IntRange(0, 3).Draw(t, "NOPs before the option")
		timestamps := rapid.Bool().Draw(t, "timestamps")
		segment := func(seq, ack, left, right uint32) []byte {
			tcp := layers.TCP{Seq: seq, Ack: ack, ACK: true}
			if timestamps {
				tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)})
			}
			for range lead {
				tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1})
			}
			tcp.Options = append(tcp.Options, sack(left, right))
			return tcpFrame(t, tcp, payload)
		}
		got, want := segment(seq, ack, left, right), segment(seq+1, ack+shift, left+shift, right+shift)
		partial := rapid.Bool().Draw(t, "partial")
		if partial {
			makePartial(got)
			makePartial(want)
		}
		p := mustParse(t, got)
		if n := TCPSeq(got, &p); n != seq {
			t.Fatalf("TCPSeq = %d, want %d", n, seq)
		}
		SetTCPSeq(got, &p, seq+1, partial)
		MapTCPAcks(got, &p, func(n uint32) uint32 { return n + shift }, partial)
		if !bytes.Equal(got, want) {
			t.Fatalf("shift %d:\n got % x\nwant % x", shift, got, want)
		}
	})
}

// Without the ACK flag there is no acknowledgement, and a malformed option ends
// the reading.
func TestMapTCPAcksLeavesAlone(t *testing.T) {
	shift := func(n uint32) uint32 { return n + 1 }
	plain := tcpFrame(t, layers.TCP{Ack: 9, Options: []layers.TCPOption{sack(1, 2)}}, nil)
	got := bytes.Clone(plain)
	p := mustParse(t, got)
	MapTCPAcks(got, &p, shift, false)
	if !bytes.Equal(got, plain) {
		t.Errorf("without ACK:\n got % x\nwant % x", got, plain)
	}
	// kind 30 of length 0, 1 and 200, and the end of options, in front of a SACK
	for _, bad := range [][2]byte{{30, 0}, {30, 1}, {30, 200}, {0, 0}} {
		frame := tcpFrame(t, layers.TCP{Ack: 9, ACK: true, Options: []layers.TCPOption{
			{OptionType: 30, OptionLength: 2}, sack(1, 2),
		}}, nil)
		copy(frame[54:], bad[:])
		p := mustParse(t, frame)
		MapTCPAcks(frame, &p, shift, true)
		if edge := binary.BigEndian.Uint32(frame[58:]); edge != 1 || frame[45] != 10 {
			t.Errorf("option % x: edge %d, acknowledgement %d, want 1 and 10", bad, edge, frame[45])
		}
	}
}
