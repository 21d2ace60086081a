package pcapfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"pgregory.net/rapid"
)

// kept is what is left of a packet once the reader has gone on.
type kept struct {
	Data      string
	Time      int64
	WireLen   uint32
	LinkType  LinkType
	Direction Direction
	Comments  []string
}

// readAll reads a whole capture, and what ended it.
func readAll(in io.Reader) (all []kept, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	for {
		var p Packet
		if err := r.Next(&p); err != nil {
			return all, err
		}
		all = append(all, kept{string(p.Data), p.Time, p.WireLen, p.LinkType, p.Direction, p.Comments()})
		clear(p.Data) // whoever reads may
	}
}

func drawPacket(t *rapid.T) kept {
	k := kept{
		Data:     string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")),
		Time:     rapid.Int64Range(0, 1<<32*1e9-1).Draw(t, "time"),
		LinkType: Ethernet,
	}
	k.WireLen = uint32(len(k.Data)) + rapid.Uint32Range(0, 2000).Draw(t, "missing")
	return k
}

func packetOf(k *kept) *Packet {
	return &Packet{Data: []byte(k.Data), Time: k.Time, WireLen: k.WireLen, Direction: k.Direction}
}

// TestRoundTrip: what a Writer writes, the Reader and gopacket read.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		packets := rapid.SliceOfN(rapid.Custom(drawPacket), 0, 20).Draw(t, "packets")
		ng := rapid.Bool().Draw(t, "pcapng")
		var file bytes.Buffer
		w := NewWriter(&file, Ethernet)
		if ng {
			file.Reset()
			w = NewNGWriter(&file, Ethernet, "eth0")
		}
		for i := range packets {
			k := &packets[i]
			if ng {
				k.Comments = rapid.SliceOfN(rapid.StringN(0, 40, 40), 0, 3).Draw(t, "comments")
				k.Direction = Direction(rapid.IntRange(0, 2).Draw(t, "direction"))
			}
			if err := w.Write(packetOf(k), k.Comments...); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(iotest.HalfReader(bytes.NewReader(file.Bytes())))
		if err != io.EOF {
			t.Fatalf("the file ends with %v", err)
		}
		for i := range packets {
			if len(packets[i].Comments) == 0 {
				packets[i].Comments = nil
			}
		}
		if diff := cmp.Diff(packets, got, cmpEmpty); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
		compareWithGopacket(t, file.Bytes(), ng, got)
	})
}

var cmpEmpty = cmp.Transformer("len0", func(k []kept) []kept {
	if len(k) == 0 {
		return nil
	}
	return k
})

func compareWithGopacket(t *rapid.T, file []byte, ng bool, want []kept) {
	var next func() ([]byte, gopacket.CaptureInfo, error)
	if ng {
		r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
		if err != nil || r.LinkType() != layers.LinkTypeEthernet {
			t.Fatal(err)
		}
		next = r.ReadPacketData
	} else {
		r, err := pcapgo.NewReader(bytes.NewReader(file))
		if err != nil || r.LinkType() != layers.LinkTypeEthernet {
			t.Fatal(err)
		}
		next = r.ReadPacketData
	}
	for i := range want {
		data, info, err := next()
		if err != nil {
			t.Fatalf("gopacket, packet %d: %v", i, err)
		}
		w := &want[i]
		if string(data) != w.Data || info.Timestamp.UnixNano() != w.Time || info.Length != int(w.WireLen) {
			t.Fatalf("gopacket reads %d bytes of %d at %v, want %d of %d at %d", len(data), info.Length, info.Timestamp.UnixNano(), len(w.Data), w.WireLen, w.Time)
		}
	}
	if _, _, err := next(); err != io.EOF {
		t.Fatalf("gopacket, at the end: %v", err)
	}
}

// TestByteOrders: files of machines of either byte order, with either unit of
// time, and links in the lower half of their field only.
func TestByteOrders(t *testing.T) {
	for _, c := range []struct {
		name  string
		order binary.AppendByteOrder
		magic uint32
		want  int64
	}{
		{"little, micro", binary.LittleEndian, magicMicro, 5_000_007_000},
		{"little, nano", binary.LittleEndian, magicNano, 5_000_000_007},
		{"big, micro", binary.BigEndian, magicMicro, 5_000_007_000},
		{"big, nano", binary.BigEndian, magicNano, 5_000_000_007},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.order
			b := o.AppendUint32(nil, c.magic)
			b = o.AppendUint16(b, 2)
			b = o.AppendUint16(b, 4)
			b = append(b, make([]byte, 12)...)
			b = o.AppendUint32(b, 0x5000_0000|uint32(LinuxSLL2)) // with the length of an FCS
			for _, n := range []uint32{5, 7, 3, 60} {
				b = o.AppendUint32(b, n)
			}
			b = append(b, "abc"...)
			got, err := readAll(bytes.NewReader(b))
			want := []kept{{Data: "abc", Time: c.want, WireLen: 60, LinkType: LinuxSLL2}}
			if diff := cmp.Diff(want, got); diff != "" || err != io.EOF {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// block returns a pcapng block.
func block(o binary.AppendByteOrder, kind uint32, body []byte) []byte {
	body = pad4(bytes.Clone(body))
	b := o.AppendUint32(nil, kind)
	b = o.AppendUint32(b, uint32(blockLen+len(body)))
	return o.AppendUint32(append(b, body...), uint32(blockLen+len(body)))
}

func section(o binary.AppendByteOrder) []byte {
	b := o.AppendUint32(nil, sectionMagic)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(b, 0)
	return block(o, blockSection, o.AppendUint64(b, ^uint64(0)))
}

func interfaceBlock(o binary.AppendByteOrder, t LinkType, snap uint32, options ...byte) []byte {
	b := o.AppendUint16(nil, uint16(t))
	b = o.AppendUint16(b, 0)
	return block(o, blockInterface, append(o.AppendUint32(b, snap), options...))
}

func packetBlock(o binary.AppendByteOrder, kind, id uint32, ticks uint64, data string, wire uint32, options ...byte) []byte {
	b := o.AppendUint32(nil, id)
	if kind == blockOldPacket {
		b = o.AppendUint16(nil, uint16(id))
		b = o.AppendUint16(b, 9) // drops
	}
	b = o.AppendUint32(b, uint32(ticks>>32))
	b = o.AppendUint32(b, uint32(ticks))
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint32(b, wire)
	return block(o, kind, append(pad4(append(b, data...)), options...))
}

// TestNG: sections of both byte orders, interfaces with clocks of their own,
// every kind of packet block, and blocks that are none of ours.
func TestNG(t *testing.T) {
	for _, o := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(o.String(), func(t *testing.T) {
			option := func(code uint16, value string) []byte {
				b := o.AppendUint16(nil, code)
				return pad4(append(o.AppendUint16(b, uint16(len(value))), value...))
			}
			offset := option(optIfTsOffset, string(o.AppendUint64(nil, 1000)))
			file := bytes.Join([][]byte{
				section(o),
				interfaceBlock(o, Ethernet, 4),
				interfaceBlock(o, Raw, 0, option(optIfTsResol, "\x09")...),
				interfaceBlock(o, Null, 0, option(optIfTsResol, "\x8a")...), // 2^-10 s
				interfaceBlock(o, LinuxSLL, 0, append(option(optIfTsResol, "\x03"), offset...)...),
				block(o, 5, make([]byte, 16)), // interface statistics
				packetBlock(o, blockPacket, 0, 3_000_004, "one", 60),
				packetBlock(o, blockPacket, 1, 3_000_000_004, "two", 3, append(option(optComment, "hello"), option(optFlags, string(o.AppendUint32(nil, 2)))...)...),
				packetBlock(o, blockPacket, 2, 3<<10+512, "three", 5),
				packetBlock(o, blockOldPacket, 3, 3004, "four", 4),
				block(o, blockSimple, append(o.AppendUint32(nil, 9), "fivefive9"...)),
				block(o, 0x4d3c2b1a, make([]byte, 3<<20)), // longer than any packet
				section(binary.BigEndian),
				interfaceBlock(binary.BigEndian, Loop, 0),
				packetBlock(binary.BigEndian, blockPacket, 0, 7, "six", 3),
			}, nil)
			want := []kept{
				{Data: "one", Time: 3_000_004_000, WireLen: 60, LinkType: Ethernet},
				{Data: "two", Time: 3_000_000_004, WireLen: 3, LinkType: Raw, Direction: Outbound, Comments: []string{"hello"}},
				{Data: "three", Time: 3_500_000_000, WireLen: 5, LinkType: Null},
				{Data: "four", Time: 1003_004_000_000, WireLen: 4, LinkType: LinuxSLL},
				{Data: "five", WireLen: 9, LinkType: Ethernet}, // cut to the snap length
				{Data: "six", Time: 7000, WireLen: 3, LinkType: Loop},
			}
			got, err := readAll(bytes.NewReader(file))
			if diff := cmp.Diff(want, got); diff != "" || err != io.EOF {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestFaults: what is no capture is refused, and what is cut off is known as
// that.
func TestFaults(t *testing.T) {
	le := binary.LittleEndian
	var good bytes.Buffer
	w := NewWriter(&good, Ethernet)
	w.Write(&Packet{Data: []byte("abcd")})
	w.Flush()
	ng := bytes.Join([][]byte{section(le), interfaceBlock(le, Ethernet, 0), packetBlock(le, blockPacket, 0, 0, "abcd", 4)}, nil)
	change := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	packetAt := len(ng) - 36
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrFormat},
		{"three bytes", []byte("abc"), ErrFormat},
		{"text", []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n"), ErrFormat},
		{"half a head", good.Bytes()[:20], ErrFormat},
		{"version 3", change(good.Bytes(), 4, 3), ErrFormat},
		{"half a record's head", good.Bytes()[:24+8], io.ErrUnexpectedEOF},
		{"half a record", good.Bytes()[:24+16+2], io.ErrUnexpectedEOF},
		{"a record of 4 GB", change(good.Bytes(), 24+8, 0xff, 0xff, 0xff, 0xff), ErrFormat},
		{"half a block's head", ng[:packetAt+4], io.ErrUnexpectedEOF},
		{"half a block", ng[:packetAt+20], io.ErrUnexpectedEOF},
		{"a block of 8 bytes", change(ng, packetAt+4, 8, 0), ErrFormat},
		{"a block of 35 bytes", change(ng, packetAt+4, 35), ErrFormat},
		{"a packet block of 16 bytes", change(ng, packetAt+4, 16), ErrFormat},
		{"a packet longer than its block", change(ng, packetAt+20, 5), ErrFormat},
		{"a packet of no interface", change(ng, packetAt+8, 1), ErrFormat},
		{"a packet of 1 MB", packetFile(1 << 20), ErrFormat},
		{"no section after all", change(ng, 8, 1, 2, 3, 4), ErrFormat},
		{"an interface of 4 bytes", append(section(le), block(le, blockInterface, make([]byte, 4))...), ErrFormat},
		{"a simple packet of no interface", append(section(le), block(le, blockSimple, make([]byte, 8))...), ErrFormat},
	} {
		if _, err := readAll(bytes.NewReader(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	broken := errors.New("broken")
	if _, err := readAll(io.MultiReader(bytes.NewReader(good.Bytes()), iotest.ErrReader(broken))); err != broken {
		t.Errorf("a disk that breaks: %v, want its error", err)
	}
}

func packetFile(size int) []byte {
	le := binary.LittleEndian
	return bytes.Join([][]byte{section(le), interfaceBlock(le, Ethernet, 0), packetBlock(le, blockPacket, 0, 0, string(make([]byte, size)), 4)}, nil)
}

// TestReadDoesNotAllocate: a packet costs no memory, in either format.
func TestReadDoesNotAllocate(t *testing.T) {
	for _, ng := range []bool{false, true} {
		var file bytes.Buffer
		w := NewWriter(&file, Ethernet)
		if ng {
			file.Reset()
			w = NewNGWriter(&file, Ethernet, "eth0")
		}
		for range 2000 {
			w.Write(&Packet{Data: make([]byte, 700), Direction: Inbound}, "a comment")
		}
		w.Flush()
		r, err := NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var p Packet
		if n := testing.AllocsPerRun(1900, func() {
			if err := r.Next(&p); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("pcapng %v: %v allocations a packet, want 0", ng, n)
		}
	}
}

// FuzzReader: whatever a file holds, reading it ends, with an error that says
// which kind of end it is.
func FuzzReader(f *testing.F) {
	var file bytes.Buffer
	w := NewNGWriter(&file, Ethernet, "eth0")
	w.Write(&Packet{Data: []byte("abc"), WireLen: 60, Direction: Inbound}, "a", "b")
	w.Flush()
	f.Add(file.Bytes())
	file.Reset()
	w = NewWriter(&file, LinuxSLL2)
	w.Write(&Packet{Data: []byte("abc"), WireLen: 60})
	w.Flush()
	f.Add(file.Bytes())
	f.Add(append(section(binary.BigEndian), interfaceBlock(binary.BigEndian, Raw, 3, 0, 9, 0, 1, 0xff, 0, 0, 0)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := readAll(bytes.NewReader(data))
		if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, ErrFormat) {
			t.Errorf("after %d packets: %v", len(all), err)
		}
		for _, k := range all {
			if int(k.WireLen) < len(k.Data) {
				t.Errorf("%d bytes captured of %d", len(k.Data), k.WireLen)
			}
		}
	})
}
