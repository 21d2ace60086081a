package pcapfile

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Writer writes a capture with times in nanoseconds. One goroutine uses it.
type Writer struct {
	out      *bufio.Writer
	linkType LinkType
	ng       bool
	size     int64
	scratch  []byte
}

const snapLen = 1 << 18 // what Wireshark takes as the greatest

// NewWriter starts a classic pcap file, which every program reads.
func NewWriter(out io.Writer, t LinkType) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<18), linkType: t}
	b := le.AppendUint32(nil, magicNano)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, snapLen)
	b = le.AppendUint32(b, uint32(t))
	w.size = int64(len(b))
	w.out.Write(b) // a fault shows at the next one: it is kept
	return w
}

// NewNGWriter starts a pcapng file, which has room for comments, with packets of
// the interfaces of those names, which Packet.Interface counts from 0.
func NewNGWriter(out io.Writer, t LinkType, names ...string) *Writer {
	w := &Writer{out: bufio.NewWriterSize(out, 1<<18), linkType: t, ng: true}
	section := le.AppendUint32(nil, sectionMagic)
	section = le.AppendUint16(section, 1)
	section = le.AppendUint16(section, 0)
	section = le.AppendUint64(section, ^uint64(0)) // length not known
	w.block(blockSection, section)

	for _, name := range names {
		i := le.AppendUint16(nil, uint16(t))
		i = le.AppendUint16(i, 0)
		i = le.AppendUint32(i, snapLen)
		i = appendOption(i, optIfName, name)
		i = appendOption(i, optIfTsResol, "\x09")
		w.block(blockInterface, appendOption(i, optEnd, ""))
	}
	return w
}

var le = binary.LittleEndian

// Write adds a packet: its bytes, its time and its length on the wire. The
// comments are lost in a classic pcap file.
func (w *Writer) Write(p *Packet, comments ...string) error {
	wire := max(p.WireLen, uint32(len(p.Data)))
	if !w.ng {
		b := w.scratch[:0]
		b = le.AppendUint32(b, uint32(p.Time/1e9))
		b = le.AppendUint32(b, uint32(p.Time%1e9))
		b = le.AppendUint32(b, uint32(len(p.Data)))
		b = le.AppendUint32(b, wire)
		w.scratch = b
		w.size += int64(len(b) + len(p.Data))
		w.out.Write(b)
		_, err := w.out.Write(p.Data)
		return err
	}
	b := le.AppendUint32(w.scratch[:0], p.Interface)
	b = le.AppendUint32(b, uint32(uint64(p.Time)>>32))
	b = le.AppendUint32(b, uint32(p.Time))
	b = le.AppendUint32(b, uint32(len(p.Data)))
	b = le.AppendUint32(b, wire)
	b = pad4(append(b, p.Data...))
	for _, c := range comments {
		b = appendOption(b, optComment, c)
	}
	if p.Direction != Unsaid {
		b = appendOption(b, optFlags, string([]byte{byte(p.Direction), 0, 0, 0}))
	}
	if len(comments) > 0 || p.Direction != Unsaid {
		b = appendOption(b, optEnd, "")
	}
	w.scratch = b
	return w.block(blockPacket, b)
}

// WriteStats adds what is known of an interface so far: packets received, and
// dropped for want of room. The last such block of an interface counts. The comment
// may be empty. Nothing is written to a classic pcap file.
func (w *Writer) WriteStats(at int64, stats Stats, comment string) error {
	if !w.ng {
		return nil
	}
	b := le.AppendUint32(w.scratch[:0], stats.Interface)
	b = le.AppendUint32(b, uint32(uint64(at)>>32))
	b = le.AppendUint32(b, uint32(at))
	if comment != "" {
		b = appendOption(b, optComment, comment)
	}
	b = appendOption(b, optStatReceived, string(le.AppendUint64(nil, stats.Received)))
	b = appendOption(b, optStatDropped, string(le.AppendUint64(nil, stats.Dropped)))
	b = appendOption(b, optEnd, "")
	w.scratch = b
	return w.block(blockStats, b)
}

// Size returns how many bytes the file has so far, those included that are not
// flushed yet.
func (w *Writer) Size() int64 { return w.size }

// Flush writes out what is buffered, and returns the first fault of all writes.
func (w *Writer) Flush() error { return w.out.Flush() }

func (w *Writer) block(kind uint32, body []byte) error {
	length := uint32(blockLen + len(body))
	w.size += int64(length)
	var head [blockHeadLen]byte
	le.PutUint32(head[:], kind)
	le.PutUint32(head[4:], length)
	w.out.Write(head[:])
	w.out.Write(body)
	_, err := w.out.Write(le.AppendUint32(head[:0], length))
	return err
}

// appendOption appends an option, cut to the length that one can have.
func appendOption(b []byte, code uint16, value string) []byte {
	value = value[:min(len(value), 0xffff)]
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(value)))
	return pad4(append(b, value...))
}

func pad4(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
