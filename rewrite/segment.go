package rewrite

import "encoding/binary"

// tcpHeaderLen returns the length in bytes of the TCP header with its options;
// 0 when the packet is not an unfragmented TCP segment with a whole header.
func tcpHeaderLen(frame []byte, p *Packet) int {
	if p.Proto != ProtoTCP || p.Fragment() || p.End-p.L4 < tcpMinLen {
		return 0
	}
	header := int(frame[p.L4+12]>>4) * 4
	if header < tcpMinLen || header > p.End-p.L4 {
		return 0
	}
	return header
}

// l4HeaderLen returns the length in bytes of the header that each segment of a
// super-packet repeats; 0 when the packet cannot be segmented.
func l4HeaderLen(frame []byte, p *Packet) int {
	if p.Proto == ProtoUDP && !p.Fragment() && p.End-p.L4 >= udpLen {
		return udpLen
	}
	return tcpHeaderLen(frame, p)
}

// HeadersLen returns the length in bytes of all headers of an unfragmented TCP
// or UDP packet, from the Ethernet header to the payload (what virtio calls
// hdr_len); 0 for other packets. A segment's IP length is this, less
// [EthernetLen], plus its payload.
func HeadersLen(frame []byte, p *Packet) int {
	l4 := l4HeaderLen(frame, p)
	if l4 == 0 {
		return 0
	}
	return p.L4 + l4
}

// SegmentCount returns in how many segments [Segment] cuts the super-packet
// when each carries at most size bytes of payload (virtio's gso_size). It is at
// least 1 for an unfragmented TCP segment or UDP datagram, and 0 for all else or
// if size is not positive.
func SegmentCount(p *Packet, frame []byte, size int) int {
	headers := HeadersLen(frame, p)
	if headers == 0 || size <= 0 {
		return 0
	}
	payload := p.End - headers
	return max(1, (payload+size-1)/size)
}

// Segment writes into dst the i-th segment, from 0, of the super-packet in
// frame, and returns its length: at most [HeadersLen] plus size. It does what
// an interface with segmentation offload does: headers are repeated with their
// options, the IPv4 identification counts up, TCP sequence numbers advance, FIN
// and PSH are on the last segment only and CWR on the first only, and every
// length and checksum is computed in full, so the super-packet's own L4
// checksum may be partial. Whether the super-packet is a TCP one or a UDP one
// (each datagram then gets size bytes), its protocol says.
//
// It returns 0 when dst is too small or i is not below [SegmentCount].
func Segment(dst, frame []byte, p *Packet, size, i int) int {
	n := SegmentCount(p, frame, size)
	if i < 0 || i >= n {
		return 0
	}
	headers := HeadersLen(frame, p)
	from := headers + i*size
	payload := frame[from:min(from+size, p.End)]
	if len(dst) < headers+len(payload) {
		return 0
	}
	dst = dst[:headers+len(payload)]
	copy(dst, frame[:headers])
	copy(dst[headers:], payload)

	ip, l4 := dst[p.L3:p.L4], dst[p.L4:]
	if p.V6 {
		binary.BigEndian.PutUint16(ip[4:6], uint16(len(dst)-p.L3-ipv6Len))
	} else {
		binary.BigEndian.PutUint16(ip[2:4], uint16(len(dst)-p.L3))
		binary.BigEndian.PutUint16(ip[4:6], uint16(p.ID)+uint16(i))
		setIPv4Checksum(ip)
	}
	pseudo := p.pseudo(len(l4))
	if p.Proto == ProtoUDP {
		finishDatagram(l4, pseudo)
	} else {
		finishSegment(l4, pseudo, uint32(i*size), i == 0, i == n-1)
	}
	return len(dst)
}

// finishDatagram sets length and checksum of a UDP datagram.
func finishDatagram(l4 []byte, pseudo uint32) {
	binary.BigEndian.PutUint16(l4[4:6], uint16(len(l4)))
	l4[6], l4[7] = 0, 0
	binary.BigEndian.PutUint16(l4[6:8], nonZero(Checksum(l4, pseudo)))
}

// finishSegment sets sequence number, flags and checksum of a TCP segment whose
// payload starts advance bytes into that of the super-packet.
func finishSegment(l4 []byte, pseudo, advance uint32, first, last bool) {
	binary.BigEndian.PutUint32(l4[4:8], binary.BigEndian.Uint32(l4[4:8])+advance)
	if !first {
		l4[13] &^= TCPCwr
	}
	if !last {
		l4[13] &^= TCPFin | TCPPsh
	}
	l4[16], l4[17] = 0, 0
	binary.BigEndian.PutUint16(l4[16:18], Checksum(l4, pseudo))
}
