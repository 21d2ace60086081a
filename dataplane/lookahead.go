package dataplane

import (
	"encoding/binary"

	"natlb/rewrite"
)

// lookAheadConns is the number of connections, some 400 KB, from which on the
// table is not sure to be in a core's caches when a batch comes, and looking ahead
// pays; where it is after all, it costs some 10 ns a packet.
const lookAheadConns = 4 << 10

// lookAhead fetches the connections of a batch's packets before the first of them
// is looked up; see [conntrack.Table.Fetch]. It guesses: packets with IP options,
// say, are left to find theirs by themselves.
func (s *Shard) lookAhead(fs []Frame) {
	if len(fs) < 2 {
		return
	}
	if s.table.Len() >= lookAheadConns {
		s.lookAhead4(fs)
	}
	if s.table6.Len() >= lookAheadConns {
		s.lookAhead6(fs)
	}
}

func (s *Shard) lookAhead4(fs []Frame) {
	const l3, l4, end = rewrite.EthernetLen, rewrite.EthernetLen + 20, rewrite.EthernetLen + 24
	n := 0
	for i := range fs {
		b := fs[i].Data
		if n == len(s.ahead) || len(b) < end || binary.BigEndian.Uint16(b[12:]) != etherTypeIPv4 || b[l3] != 0x45 {
			continue
		}
		b = b[:end:end]
		cip, cport := binary.BigEndian.Uint32(b[l3+12:]), binary.BigEndian.Uint16(b[l4:])
		if dst := binary.BigEndian.Uint32(b[l3+16:]); s.view.roles.of(dst)&roleVIP == 0 {
			cip, cport = dst, binary.BigEndian.Uint16(b[l4+2:])
		}
		s.ahead[n] = s.table.Hash(b[l3+9], cip, cport)
		n++
	}
	s.table.Fetch(s.ahead[:n])
}

// lookAhead6 does so for IPv6, and leaves out packets with extension headers.
func (s *Shard) lookAhead6(fs []Frame) {
	const l3, l4, end = rewrite.EthernetLen, rewrite.EthernetLen + ip6Len, rewrite.EthernetLen + ip6Len + 4
	n := 0
	for i := range fs {
		b := fs[i].Data
		if n == len(s.ahead) || len(b) < end || binary.BigEndian.Uint16(b[12:]) != etherTypeIPv6 || !rewrite.CarriesPorts(b[l3+ip6NextHeader]) {
			continue
		}
		b = b[:end:end]
		cip, cport := rewrite.ReadAddr6(b[l3+ip6Source:]), binary.BigEndian.Uint16(b[l4:])
		if dst := rewrite.ReadAddr6(b[l3+ip6Destination:]); s.view.roles.of6(dst)&roleVIP == 0 {
			cip, cport = dst, binary.BigEndian.Uint16(b[l4+2:])
		}
		s.ahead[n] = s.table6.Hash6(b[l3+ip6NextHeader], cip, cport)
		n++
	}
	s.table6.Fetch(s.ahead[:n])
}
