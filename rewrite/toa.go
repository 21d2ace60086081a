package rewrite

import "encoding/binary"

// The TOA option ("TCP option address") tells a real server the client's end, where
// the packet's source is not the client: kind 254 (RFC 6994's experiments), its
// length, the port, the address. Servers with a TOA module read it.
const (
	toaKind = 254
	toaLen  = 8  // with an IPv4 address
	toaLen6 = 20 // with an IPv6 address
)

// TOALen returns by how many bytes the option makes a segment of p's family longer.
func TOALen(p *Packet) int {
	if p.V6 {
		return toaLen6
	}
	return toaLen
}

// TOAFits reports whether the TCP header of the unfragmented segment p has room for
// the option, and IP for the longer packet.
func TOAFits(frame []byte, p *Packet) bool {
	const mostHeader, mostPayload = 60, 65535
	header := tcpHeaderLen(frame, p)
	return header > 0 && header+TOALen(p) <= mostHeader && p.Len()+TOALen(p) <= mostPayload
}

// PutTOA puts the option into a segment that it fits, in front of the options that are
// there: buf begins with [TOALen] bytes to spare, behind which is the frame. What is
// in front of the options moves to the beginning; what is behind stays in place. The
// client's end is the source of client: Src or Src6, and SrcPort. Checksums follow;
// partial is as in [DNAT]. p is updated.
func PutTOA(buf []byte, p *Packet, client *Ends, partial bool) {
	n := TOALen(p)
	copy(buf, buf[n:n+p.L4+tcpMinLen])
	option := buf[p.L4+tcpMinLen:][:n]
	option[0], option[1] = toaKind, uint8(n)
	binary.BigEndian.PutUint16(option[2:4], client.SrcPort)
	ip, length := buf[p.L3:], uint16(n)
	if p.V6 {
		client.Src6.Put(option[4:])
		binary.BigEndian.PutUint16(ip[4:6], binary.BigEndian.Uint16(ip[4:6])+length)
	} else {
		binary.BigEndian.PutUint32(option[4:8], client.Src)
		old := binary.BigEndian.Uint16(ip[2:4])
		binary.BigEndian.PutUint16(ip[2:4], old+length)
		updateChecksum(ip[10:12], delta16(old, old+length))
	}
	p.End += n
	l4 := buf[p.L4:]
	old := binary.BigEndian.Uint16(l4[12:14])
	offset := old + length/4<<12 // of the data, in words
	binary.BigEndian.PutUint16(l4[12:14], offset)
	if partial {
		addToSum(l4[16:18], uint32(length)) // of the pseudo header
		return
	}
	updateChecksum(l4[16:18], uint32(length)+delta16(old, offset)+uint32(Sum(option, 0)))
}

// BlankTOA makes nothing of the options by which a client itself claims to be somebody,
// of either family's length: a receiver would believe it where there was no room for
// the director's. Checksums follow; partial is as in [DNAT]. From a malformed option on,
// options stay as they are: nobody reads them.
func BlankTOA(frame []byte, p *Packet, partial bool) {
	header := tcpHeaderLen(frame, p)
	if header <= tcpMinLen {
		return
	}
	l4 := frame[p.L4:p.End]
	options := l4[tcpMinLen:header]
	before, blanked := Sum(options, 0), false
	for at := 0; at < len(options) && options[at] != tcpOptionEnd; {
		if options[at] == tcpOptionNop {
			at++
			continue
		}
		if at+1 >= len(options) || options[at+1] < 2 || at+int(options[at+1]) > len(options) {
			break
		}
		o := options[at : at+int(options[at+1])]
		if o[0] == toaKind && (len(o) == toaLen || len(o) == toaLen6) {
			for i := range o {
				o[i] = tcpOptionNop
			}
			blanked = true
		}
		at += len(o)
	}
	if blanked && !partial {
		updateChecksum(l4[16:18], delta16(before, Sum(options, 0)))
	}
}
