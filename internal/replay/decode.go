package replay

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"natlb/internal/pcapfile"
	"natlb/rewrite"
)

// Field is one field of a decoded packet. Names are those of Wireshark's display
// filters where it has one, values as text.
type Field struct{ Name, Value string }

// decoder takes a packet apart from the front. Every byte lands in one field, so
// that packets are equal when their fields are.
type decoder struct {
	fields []Field
	prefix string // of names: inside an ICMP error
	rest   []byte
}

// Decode returns the fields of an Ethernet frame, those of a packet that an
// ICMP error quotes included. What is cut off ends in the field "bytes".
func Decode(p *pcapfile.Packet) []Field {
	d := &decoder{rest: p.Data}
	d.add("frame.len", p.WireLen)
	if p.Short() {
		d.add("frame.cap_len", len(p.Data))
	}
	if h := d.take(rewrite.EthernetLen); h != nil {
		d.add("eth.dst", net.HardwareAddr(h[:6]))
		d.add("eth.src", net.HardwareAddr(h[6:12]))
		etherType := binary.BigEndian.Uint16(h[12:])
		d.add("eth.type", fmt.Sprintf("0x%04x", etherType))
		switch etherType {
		case etherTypeIPv4:
			d.ipv4()
		case etherTypeIPv6:
			d.ipv6()
		case etherTypeARP:
			d.arp()
		}
	}
	if len(d.rest) > 0 {
		d.add("bytes", hex.EncodeToString(d.rest))
	}
	return d.fields
}

func (d *decoder) add(name string, value any) {
	d.fields = append(d.fields, Field{d.prefix + name, fmt.Sprint(value)})
}

func (d *decoder) hex(name string, b []byte) {
	if len(b) > 0 {
		d.add(name, hex.EncodeToString(b))
	}
}

// take returns the next n bytes, nil if there are not as many.
func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) arp() {
	b := d.take(arpIPv4Len)
	if b == nil {
		return
	}
	d.hex("arp.head", b[:6])
	d.add("arp.opcode", binary.BigEndian.Uint16(b[6:]))
	d.add("arp.src.hw_mac", net.HardwareAddr(b[8:14]))
	d.add("arp.src.proto_ipv4", address(b[14:]))
	d.add("arp.dst.hw_mac", net.HardwareAddr(b[18:24]))
	d.add("arp.dst.proto_ipv4", address(b[24:]))
}

func address(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }

func (d *decoder) ipv4() {
	if len(d.rest) < 20 {
		return
	}
	header := int(d.rest[0]&15) * 4
	if d.rest[0]>>4 != 4 || header < 20 || len(d.rest) < header {
		return
	}
	h := d.take(header)
	total, frag := int(binary.BigEndian.Uint16(h[2:])), binary.BigEndian.Uint16(h[6:])
	d.add("ip.hdr_len", header)
	d.add("ip.dsfield", fmt.Sprintf("0x%02x", h[1]))
	d.add("ip.len", total)
	d.add("ip.id", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[4:])))
	d.add("ip.flags", fmt.Sprintf("0x%02x", frag>>13))
	d.add("ip.frag_offset", frag&0x1fff)
	d.add("ip.ttl", h[8])
	d.add("ip.proto", h[9])
	d.add("ip.checksum", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[10:])))
	d.add("ip.src", address(h[12:]))
	d.add("ip.dst", address(h[16:]))
	d.hex("ip.options", h[20:])

	// What stands behind the packet is padding, and no part of it.
	var padding []byte
	if n := total - header; n >= 0 && n < len(d.rest) {
		d.rest, padding = d.rest[:n], d.rest[n:]
	}
	if frag&0x1fff == 0 {
		d.transport(h[9])
	}
	d.hex("payload", d.rest)
	d.rest = nil
	d.hex("padding", padding)
}

func (d *decoder) ipv6() {
	if len(d.rest) < ipv6Len || d.rest[0]>>4 != 6 {
		return
	}
	h := d.take(ipv6Len)
	first, length := binary.BigEndian.Uint32(h), int(binary.BigEndian.Uint16(h[4:]))
	d.add("ipv6.tclass", fmt.Sprintf("0x%02x", first>>20&0xff))
	d.add("ipv6.flow", fmt.Sprintf("0x%05x", first&0xfffff))
	d.add("ipv6.plen", length)
	d.add("ipv6.nxt", h[6])
	d.add("ipv6.hlim", h[7])
	d.add("ipv6.src", netip.AddrFrom16([16]byte(h[8:])))
	d.add("ipv6.dst", netip.AddrFrom16([16]byte(h[24:])))
	var padding []byte
	if length < len(d.rest) {
		d.rest, padding = d.rest[:length], d.rest[length:]
	}
	if proto, later := d.extensions(h[6]); !later {
		d.transport(proto)
	}
	d.hex("payload", d.rest)
	d.rest = nil
	d.hex("padding", padding)
}

// extensions takes extension headers from the first on, and returns what follows them
// and whether that is in an earlier fragment.
func (d *decoder) extensions(proto uint8) (next uint8, later bool) {
	const hopByHop, routing, fragment, options = 0, 43, 44, 60
	for !later {
		length := 8
		switch proto {
		case hopByHop, routing, options:
			if len(d.rest) >= 2 {
				length = (int(d.rest[1]) + 1) * 8
			}
		case fragment:
		default:
			return proto, false
		}
		h := d.take(length)
		if h == nil {
			return proto, true
		}
		d.add("ipv6.ext", proto)
		d.hex("ipv6.ext.bytes", h)
		later = proto == fragment && binary.BigEndian.Uint16(h[2:])&^7 != 0
		proto = h[0]
	}
	return proto, later
}

func (d *decoder) transport(proto uint8) {
	switch proto {
	case rewrite.ProtoTCP:
		d.tcp()
	case rewrite.ProtoUDP:
		if h := d.take(8); h != nil {
			d.add("udp.srcport", binary.BigEndian.Uint16(h))
			d.add("udp.dstport", binary.BigEndian.Uint16(h[2:]))
			d.add("udp.length", binary.BigEndian.Uint16(h[4:]))
			d.add("udp.checksum", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[6:])))
		}
	case rewrite.ProtoSCTP:
		d.sctp()
	case rewrite.ProtoICMP:
		d.icmp()
	case rewrite.ProtoICMPv6:
		d.icmpv6()
	}
}

func (d *decoder) sctp() {
	h := d.take(12)
	if h == nil {
		return
	}
	d.add("sctp.srcport", binary.BigEndian.Uint16(h))
	d.add("sctp.dstport", binary.BigEndian.Uint16(h[2:]))
	d.add("sctp.verification_tag", fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(h[4:])))
	d.add("sctp.checksum", fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(h[8:])))
	for len(d.rest) >= 4 {
		length := int(binary.BigEndian.Uint16(d.rest[2:]))
		if length < 4 || length > len(d.rest) {
			return
		}
		c := d.take(min((length+3)&^3, len(d.rest)))
		d.add("sctp.chunk_type", c[0])
		d.add("sctp.chunk_flags", fmt.Sprintf("0x%02x", c[1]))
		d.add("sctp.chunk_length", length)
		d.hex("sctp.chunk", c[4:])
	}
}

func (d *decoder) tcp() {
	h := d.take(20)
	if h == nil {
		return
	}
	d.add("tcp.srcport", binary.BigEndian.Uint16(h))
	d.add("tcp.dstport", binary.BigEndian.Uint16(h[2:]))
	d.add("tcp.seq_raw", binary.BigEndian.Uint32(h[4:]))
	d.add("tcp.ack_raw", binary.BigEndian.Uint32(h[8:]))
	header := int(h[12]>>4) * 4
	d.add("tcp.hdr_len", header)
	d.add("tcp.flags", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[12:])&0xfff))
	d.add("tcp.window_size_value", binary.BigEndian.Uint16(h[14:]))
	d.add("tcp.checksum", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[16:])))
	d.add("tcp.urgent_pointer", binary.BigEndian.Uint16(h[18:]))
	if header > 20 {
		d.hex("tcp.options", d.take(header-20))
	}
}

func (d *decoder) icmp() {
	h := d.take(8)
	if h == nil {
		return
	}
	d.add("icmp.type", h[0])
	d.add("icmp.code", h[1])
	d.add("icmp.checksum", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[2:])))
	d.add("icmp.rest", hex.EncodeToString(h[4:]))
	if rewrite.IsICMPError(h[0]) {
		d.quoted(d.ipv4)
	}
}

// quoted reads the packet that an ICMP error quotes; not what that quotes.
func (d *decoder) quoted(packet func()) {
	if d.prefix == "" {
		d.prefix = "quoted "
		packet()
		d.prefix = ""
	}
}

func (d *decoder) icmpv6() {
	h := d.take(4)
	if h == nil {
		return
	}
	d.add("icmpv6.type", h[0])
	d.add("icmpv6.code", h[1])
	d.add("icmpv6.checksum", fmt.Sprintf("0x%04x", binary.BigEndian.Uint16(h[2:])))
	rest := d.take(4)
	if rest == nil {
		return
	}
	d.add("icmpv6.rest", hex.EncodeToString(rest))
	if h[0] < 128 {
		d.quoted(d.ipv6)
	}
}
