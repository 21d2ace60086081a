package rewrite

import "encoding/binary"

const (
	optionEnd    = 0
	optionNop    = 1
	optionCopied = 0x80 // the option goes into every fragment

	maxPacket = 65535
)

// cutBase returns the offset in the frame of what fragments carry pieces of.
func (p *Packet) cutBase() int {
	switch {
	case !p.V6:
		return p.L4
	case p.FragHeader:
		return int(p.FragAt) + fragHeaderLen
	}
	return int(p.FragAt)
}

// Piece returns the payload of a fragment as fragments count it, the bytes from
// p.FragOff on: of the first fragment of an IPv6 packet it may begin with extension
// headers. Of a whole packet it is what [FragmentAt] counts in.
func Piece(frame []byte, p *Packet) []byte { return frame[p.cutBase():p.End] }

// FragmentHeaders returns the length of the IP headers of each fragment of the
// packet.
func FragmentHeaders(p *Packet) int {
	headers := p.cutBase() - p.L3
	if p.V6 && !p.FragHeader {
		headers += fragHeaderLen
	}
	return headers
}

// fragmentPayload returns how many bytes of payload each fragment but the last
// carries when no fragment is longer than size; 0 when the packet cannot be cut
// so. The headers are the same length in every fragment.
func fragmentPayload(p *Packet, size int) int {
	payload := (size - FragmentHeaders(p)) &^ 7
	if payload < 8 || int(p.FragOff)+p.End-p.cutBase() > maxPacket {
		return 0
	}
	return payload
}

// FragmentCount returns in how many fragments [Fragment] cuts the packet when
// none is to be longer than size bytes of IP packet (the link's MTU): 1 when it
// fits whole, 0 when size leaves no room for a header and 8 bytes. Whether the
// packet may be fragmented at all (DF) is for the caller to say.
func FragmentCount(p *Packet, size int) int {
	if p.Len() <= size {
		return 1
	}
	each := fragmentPayload(p, size)
	if each == 0 {
		return 0
	}
	return (p.End - p.cutBase() + each - 1) / each
}

// Fragment writes into dst the i-th fragment, from 0, of the packet in frame,
// and returns its length: at most [EthernetLen] plus size. All but the last
// carry a multiple of 8 bytes; options that are not to be copied are NOPs in all
// but the first, so that the header keeps its length (RFC 791 3.1, 3.2). DF stays
// as it is. In IPv6 each gets a fragment header with the identification p.ID, which
// is the caller's choice if the packet has none itself (RFC 8200 section 4.5).
// A packet that is a fragment itself is cut further. The L4 checksum
// covers the whole packet and is not touched: one that is partial has to be
// finished first ([CompleteChecksum]).
//
// It returns 0 when dst is too small or i is not below [FragmentCount].
func Fragment(dst, frame []byte, p *Packet, size, i int) int {
	n := FragmentCount(p, size)
	if i < 0 || i >= n {
		return 0
	}
	from, to := 0, p.End-p.cutBase()
	if n > 1 {
		each := fragmentPayload(p, size)
		from = i * each
		to = min(from+each, to)
	}
	return FragmentAt(dst, frame, p, from, to)
}

// FragmentAt does the same for one piece of the caller's choice: the bytes from
// up to to of [Piece]. All but the last piece must begin and end at multiples of 8.
// All of a packet is the packet itself. It returns 0 when dst is
// too small or the piece is not inside the packet.
func FragmentAt(dst, frame []byte, p *Packet, from, to int) int {
	piece := Piece(frame, p)
	if from < 0 || from > to || to > len(piece) {
		return 0
	}
	if p.V6 {
		return fragmentAt6(dst, frame, p, from, to)
	}
	length := p.L4 + to - from
	if len(dst) < length {
		return 0
	}
	dst = dst[:length]
	copy(dst, frame[:p.L4])
	copy(dst[p.L4:], piece[from:to])

	ip := dst[p.L3:p.L4]
	binary.BigEndian.PutUint16(ip[2:4], uint16(length-p.L3))
	field := binary.BigEndian.Uint16(ip[6:8])&^offsetMask | uint16((int(p.FragOff)+from)/8)
	if to < len(piece) {
		field |= flagMF
	}
	binary.BigEndian.PutUint16(ip[6:8], field)
	if from > 0 {
		blankOptions(ip[ipv4MinLen:])
	}
	setIPv4Checksum(ip)
	return length
}

// fragmentAt6 is [FragmentAt] for IPv6; the piece is inside the packet.
func fragmentAt6(dst, frame []byte, p *Packet, from, to int) int {
	piece := Piece(frame, p)
	if to-from == len(piece) {
		if len(dst) < p.End {
			return 0
		}
		return copy(dst, frame[:p.End])
	}
	at, name := int(p.FragAt), int(p.FragName)
	length := at + fragHeaderLen + to - from
	if len(dst) < length {
		return 0
	}
	dst = dst[:length]
	copy(dst, frame[:at])
	header := dst[at : at+fragHeaderLen]
	if p.FragHeader {
		header[0] = frame[at]
	} else {
		header[0] = frame[name]
		dst[name] = ExtFragment
	}
	header[1] = 0
	field := uint16(int(p.FragOff) + from)
	if to < len(piece) || p.MoreFrags {
		field |= 1
	}
	binary.BigEndian.PutUint16(header[2:4], field)
	binary.BigEndian.PutUint32(header[4:8], p.ID)
	copy(dst[at+fragHeaderLen:], piece[from:to])
	binary.BigEndian.PutUint16(dst[p.L3+4:], uint16(length-p.L3-ipv6Len))
	return length
}

// blankOptions overwrites with NOPs the options that only the first fragment
// carries. From a malformed option on, nothing is changed.
func blankOptions(options []byte) {
	for len(options) > 0 {
		length := 1
		switch options[0] {
		case optionEnd:
			return
		case optionNop:
		default:
			if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
				return
			}
			length = int(options[1])
			if options[0]&optionCopied == 0 {
				for i := range options[:length] {
					options[i] = optionNop
				}
			}
		}
		options = options[length:]
	}
}
