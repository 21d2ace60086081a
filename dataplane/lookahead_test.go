package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"natlb/conntrack"
	"natlb/ipvs"
)

// TestLookAhead checks that what is fetched is what Process will look up: the
// client is the sender of what goes to a VIP, and the receiver of all else.
func TestLookAhead(t *testing.T) {
	const vip, rip, cip = 0x0a000001, 0x0a010001, 0xcb007105
	d := NewDirector(Config{Seed: 9, Links: []Link{{Name: "eth0", Side: VIPSide | DIPSide}}})
	service := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("10.0.0.1:53")}, Scheduler: "rr"}
	if err := d.Apply([]ipvs.Change{{Kind: ipvs.AddService, Service: service}}); err != nil {
		t.Fatal(err)
	}
	s := d.Shard(0)
	s.Begin(0)
	defer s.End()

	request := udpHeaders(cip, vip, 4000, 53)
	reply := udpHeaders(rip, cip, 5353, 4000)
	options := udpHeaders(cip, vip, 4001, 53)
	options[14] = 0x46
	frames := []Frame{{Data: options}, {Data: request}, {Data: request[:30]}, {Data: reply}}

	s.lookAhead(frames)
	if s.ahead[0] != 0 {
		t.Error("in a small table lookAhead looks ahead")
	}
	for i := range lookAheadConns {
		key := conntrack.Key4{CIP: uint32(i), VIP: vip, VPort: 53, Proto: 17}
		s.table.Insert(&key, 0)
	}
	s.lookAhead(frames)
	want := s.table.Hash(17, cip, 4000)
	if got := s.ahead; got[0] != want || got[1] != want || got[2] != 0 {
		t.Errorf("lookAhead fetches %#x, want twice %#x", got[:3], want)
	}
	s.lookAhead(make([]Frame, 3*MaxBatch)) // frames of no length, and more than a batch
	many := make([]Frame, 3*MaxBatch)
	for i := range many {
		many[i].Data = request
	}
	s.lookAhead(many)
}

// udpHeaders returns the headers of a datagram, without the fields that
// lookAhead leaves alone.
func udpHeaders(src, dst uint32, sport, dport uint16) []byte {
	b := make([]byte, 42)
	binary.BigEndian.PutUint16(b[12:], etherTypeIPv4)
	b[14], b[23] = 0x45, 17
	binary.BigEndian.PutUint32(b[26:], src)
	binary.BigEndian.PutUint32(b[30:], dst)
	binary.BigEndian.PutUint16(b[34:], sport)
	binary.BigEndian.PutUint16(b[36:], dport)
	return b
}
