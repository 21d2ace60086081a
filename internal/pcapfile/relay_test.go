package pcapfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// relayed is a file of two interfaces with statistics in its middle and at its end.
func relayedFile(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	w := NewNGWriter(&file, Ethernet, "vip0", "dip0")
	for i := range uint32(5) {
		p := Packet{Data: make([]byte, 60+i), Time: int64(i) * 1e9, Interface: i % 2, Direction: Inbound + Direction(i%2)}
		if err := w.Write(&p, "a comment"); err != nil {
			t.Fatal(err)
		}
	}
	for id, dropped := range []uint64{3, 0} {
		for _, n := range []uint64{dropped, dropped + 4} { // the last one counts
			if err := w.WriteStats(5e9, Stats{uint32(id), 9, n}, strings.Repeat("x", id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if w.Size() != int64(file.Len()) {
		t.Errorf("Size = %d of %d bytes", w.Size(), file.Len())
	}
	return file.Bytes()
}

// TestRelay: however the file arrives, it is passed on as it is, and read on the
// way; wherever it breaks off, what was passed on are whole blocks.
func TestRelay(t *testing.T) {
	file := relayedFile(t)
	for name, in := range map[string]io.Reader{
		"whole": bytes.NewReader(file), "bytes": iotest.OneByteReader(bytes.NewReader(file)), "halves": iotest.HalfReader(bytes.NewReader(file)),
	} {
		var out bytes.Buffer
		var r Relayed
		if err := Relay(&out, in, &r); err != nil || !bytes.Equal(out.Bytes(), file) {
			t.Errorf("%s: %d of %d bytes, %v", name, out.Len(), len(file), err)
		}
		if r.Packets != 5 || r.Sent != 2 || r.Dropped != 11 || r.Comment != "x" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for n := range file {
		var out bytes.Buffer
		var r Relayed
		err := Relay(&out, bytes.NewReader(file[:n]), &r)
		if !bytes.HasPrefix(file, out.Bytes()) {
			t.Fatalf("%d bytes came out as others", n)
		}
		if out.Len() == n != (err == nil) {
			t.Fatalf("%d bytes came out of %d, %v", out.Len(), n, err)
		}
		var whole bytes.Buffer
		if err := Relay(&whole, bytes.NewReader(out.Bytes()), new(Relayed)); err != nil {
			t.Fatalf("the first %d bytes were passed on in part: %v", n, err)
		}
	}
}

// TestRelayRefuses: a length that no block has ends it, without a panic or memory.
func TestRelayRefuses(t *testing.T) {
	for _, length := range []uint32{0, 8, 11, 13, mostRelayed + 4, 1<<31 - 4, 1<<32 - 4} {
		block := le.AppendUint32(le.AppendUint32(nil, blockPacket), length)
		if err := Relay(io.Discard, bytes.NewReader(append(block, make([]byte, 64)...)), new(Relayed)); !errors.Is(err, ErrFormat) {
			t.Errorf("a block of %d bytes: %v", length, err)
		}
	}
	// A packet that claims more bytes than its block has.
	body := make([]byte, 24)
	le.PutUint32(body[12:], 1<<32-1)
	block := le.AppendUint32(le.AppendUint32(nil, blockPacket), uint32(blockLen+len(body)))
	block = le.AppendUint32(append(block, body...), uint32(blockLen+len(body)))
	var r Relayed
	if err := Relay(io.Discard, bytes.NewReader(block), &r); err != nil || r.Packets != 1 {
		t.Errorf("Relay = %v, %+v", err, r)
	}
	full := errors.New("full")
	if err := Relay(writerFunc(func([]byte) (int, error) { return 0, full }), bytes.NewReader(relayedFile(t)), &r); !errors.Is(err, full) {
		t.Errorf("Relay into a full disk = %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
