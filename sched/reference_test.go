package sched

import (
	"encoding/binary"
	"maps"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"natlb/ipvs"
)

// A reference says the same as a scheduler in the slowest, most literal way. It
// is told of every change and asked before the scheduler is.
type reference interface {
	pick(f *Flow, now time.Duration) *ipvs.RealServer
	update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer)
}

// newReference returns the reference of a scheduler.
func newReference(name string, flags ipvs.ServiceFlags) reference {
	fallback, port := flags&ipvs.FlagSched1 != 0, flags&ipvs.FlagSched2 != 0
	switch name {
	case "rr":
		return &refRR{}
	case "wrr":
		return &refWRR{di: 1}
	case "lc":
		return ranked(eligible, refOverhead, func(*ipvs.RealServer) int64 { return 1 })
	case "wlc":
		return ranked(eligible, refOverhead, weightOf)
	case "sed":
		return ranked(eligible, refDelay, weightOf)
	case "nq":
		return &refNQ{}
	case "fo":
		return ranked(eligible, func(*ipvs.RealServer) int64 { return 1 }, weightOf)
	case "ovf":
		roomy := func(s *ipvs.RealServer) bool { return eligible(s) && s.Active() < s.Weight()+1 }
		return ranked(roomy, func(*ipvs.RealServer) int64 { return 1 }, weightOf)
	case "twos":
		return &refTwos{rng: rand.New(rand.NewPCG(1, 2))}
	case "sh":
		return &refSH{fallback: fallback, port: port}
	case "dh":
		return &refDH{}
	case "mh":
		return &refMH{fallback: fallback, port: port}
	case "lblc":
		return &refLBLC{mapped: map[netip.Addr]*ipvs.RealServer{}}
	case "lblcr":
		return &refLBLCR{sets: map[netip.Addr]*refSet{}}
	}
	return ranked(func(*ipvs.RealServer) bool { return false }, refOverhead, weightOf) // none
}

func eligible(s *ipvs.RealServer) bool { return s.Weight() != 0 && !s.Overloaded() }

func weightOf(s *ipvs.RealServer) int64 { return int64(s.Weight()) }

func refOverhead(s *ipvs.RealServer) int64 { return int64(s.Active())<<8 + int64(s.Inactive()) }

func refDelay(s *ipvs.RealServer) int64 { return int64(s.Active() + 1) }

// refRanked sorts the servers by the exact fraction cost / weight and takes the
// first; a stable sort leaves equals in list order.
type refRanked struct {
	servers []*ipvs.RealServer
	may     func(*ipvs.RealServer) bool
	cost    func(*ipvs.RealServer) int64
	weight  func(*ipvs.RealServer) int64
}

func ranked(may func(*ipvs.RealServer) bool, cost, weight func(*ipvs.RealServer) int64) *refRanked {
	return &refRanked{may: may, cost: cost, weight: weight}
}

func (r *refRanked) pick(*Flow, time.Duration) *ipvs.RealServer {
	var candidates []*ipvs.RealServer
	for _, s := range r.servers {
		if r.may(s) {
			candidates = append(candidates, s)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	slices.SortStableFunc(candidates, func(a, b *ipvs.RealServer) int {
		return big.NewRat(r.cost(a), r.weight(a)).Cmp(big.NewRat(r.cost(b), r.weight(b)))
	})
	return candidates[0]
}

func (r *refRanked) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

// refNQ asks for the idle first.
type refNQ struct{ servers []*ipvs.RealServer }

func (r *refNQ) pick(f *Flow, now time.Duration) *ipvs.RealServer {
	idle := func(s *ipvs.RealServer) bool { return eligible(s) && s.Active() == 0 }
	if i := slices.IndexFunc(r.servers, idle); i >= 0 {
		return r.servers[i]
	}
	sed := ranked(eligible, refDelay, weightOf)
	sed.servers = r.servers
	return sed.pick(f, now)
}

func (r *refNQ) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

// refRR keeps a ring of servers with the sentinel nil, turned so that the last
// pick is at its front.
type refRR struct{ ring []*ipvs.RealServer }

func (r *refRR) pick(*Flow, time.Duration) *ipvs.RealServer {
	for range r.ring {
		r.ring = append(r.ring[1:], r.ring[0])
		if s := r.ring[0]; s != nil && eligible(s) {
			return s
		}
	}
	return nil
}

func (r *refRR) update(servers []*ipvs.RealServer, how UpdateKind, changed *ipvs.RealServer) {
	switch how {
	case Init:
		r.ring = append([]*ipvs.RealServer{nil}, servers...)
	case Add: // right behind the sentinel
		r.ring = slices.Insert(r.ring, slices.Index(r.ring, nil)+1, changed)
	case Delete:
		i := slices.Index(r.ring, changed)
		r.ring = slices.Delete(r.ring, i, i+1)
		if i == 0 { // its predecessor is the last of the ring
			n := len(r.ring) - 1
			r.ring = append([]*ipvs.RealServer{r.ring[n]}, r.ring[:n]...)
		}
	case Order:
		last := r.ring[0]
		r.ring = append([]*ipvs.RealServer{nil}, servers...)
		for r.ring[0] != last {
			r.ring = append(r.ring[1:], r.ring[0])
		}
	}
}

// refWRR walks level by level and server by server. It holds the place as a
// server (nil is the sentinel) and counts its traversals instead of looking at
// where they began.
type refWRR struct {
	servers    []*ipvs.RealServer
	cl         *ipvs.RealServer
	cw, mw, di int
}

func (r *refWRR) pick(*Flow, time.Duration) *ipvs.RealServer {
	if r.mw == 0 {
		return nil
	}
	began, restarts, lowestWhole := r.cl, 0, false
	for traversal := 0; ; traversal++ {
		for _, s := range r.behind(r.cl) {
			r.cl = s
			if !s.Overloaded() && int(s.Weight()) >= r.cw {
				return s
			}
			if s == began && restarts > 0 && r.cw <= r.di {
				return nil
			}
		}
		lowestWhole = r.cw <= r.di && traversal > 0
		r.cl = nil
		if r.cw -= r.di; r.cw <= 0 {
			r.cw = r.mw
			restarts++
			if began == nil || lowestWhole {
				return nil
			}
		}
	}
}

func (r *refWRR) behind(s *ipvs.RealServer) []*ipvs.RealServer {
	return r.servers[slices.Index(r.servers, s)+1:]
}

func (r *refWRR) update(servers []*ipvs.RealServer, how UpdateKind, _ *ipvs.RealServer) {
	r.servers, r.cl = servers, nil
	r.di, r.mw = 1, 0
	for d := 1; d <= 64; d++ { // the tests stay below
		common, positive := true, false
		for _, s := range servers {
			common = common && int(s.Weight())%d == 0
			positive = positive || s.Weight() > 0
		}
		if common && positive {
			r.di = d
		}
	}
	for _, s := range servers {
		r.mw = max(r.mw, int(s.Weight())-(r.di-1))
	}
	switch {
	case how == Init, r.cw == 0, r.cw > r.mw:
		r.cw = r.mw
	case r.di > 1:
		r.cw -= r.cw % r.di
		r.cw++
	}
}

// refTwos lays the servers' shares end to end and draws from the same source.
type refTwos struct {
	servers []*ipvs.RealServer
	rng     *rand.Rand
}

func (r *refTwos) pick(*Flow, time.Duration) *ipvs.RealServer {
	var ends []int64
	var owners []*ipvs.RealServer
	total := int64(0)
	for _, s := range r.servers {
		if eligible(s) {
			total += int64(s.Weight())
			ends, owners = append(ends, total), append(owners, s)
		}
	}
	if len(owners) == 0 {
		return nil
	}
	draw := func() *ipvs.RealServer {
		i, _ := slices.BinarySearch(ends, r.rng.Int64N(total+1))
		return owners[i]
	}
	first, second := draw(), draw()
	load1 := big.NewRat(refOverhead(first), weightOf(first))
	load2 := big.NewRat(refOverhead(second), weightOf(second))
	if load2.Cmp(load1) < 0 {
		return second
	}
	return first
}

func (r *refTwos) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

// refFold adds up an address as a number of its bytes.
func refFold(a netip.Addr) uint32 {
	var key uint32
	for b := a.AsSlice(); len(b) > 0; b = b[4:] {
		key ^= uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	return key
}

// refHash takes the bits of the 64-bit product by division.
func refHash(x uint32, slots uint64) uint64 {
	return uint64(x) * 0x61C88647 % (1 << 32) / (1 << 32 / slots)
}

// refSH deals a deck: a card for each unit of weight.
type refSH struct {
	fallback, port bool
	table          []*ipvs.RealServer
}

func (r *refSH) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.table = nil
	for len(servers) > 0 && len(r.table) < 256 {
		for _, s := range servers {
			r.table = append(r.table, slices.Repeat([]*ipvs.RealServer{s}, int(max(1, s.Weight())))...)
		}
	}
}

func (r *refSH) pick(f *Flow, _ time.Duration) *ipvs.RealServer {
	if len(r.table) == 0 {
		return nil
	}
	key := refFold(f.CIP)
	if r.port {
		key += uint32(f.CPort)
	}
	home := refHash(key, 256)
	tries := []uint64{home}
	for offset := uint64(0); r.fallback && offset < 256; offset++ {
		tries = append(tries, (offset+home+home)%256)
	}
	for _, slot := range tries {
		if eligible(r.table[slot]) {
			return r.table[slot]
		}
	}
	return nil
}

// refDH deals the cards when asked, from the list of the last add or delete.
type refDH struct{ servers []*ipvs.RealServer }

func (r *refDH) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.servers = servers
}

func (r *refDH) pick(f *Flow, _ time.Duration) *ipvs.RealServer {
	if len(r.servers) == 0 {
		return nil
	}
	s := r.servers[refHash(refFold(f.VIP), 256)%uint64(len(r.servers))]
	if !s.Available() || !eligible(s) {
		return nil
	}
	return s
}

// refMH writes every server's order of preference out in full, as the Maglev
// paper does, and strikes the claimed slots from it.
type refMH struct {
	fallback, port bool
	table          map[uint32]*ipvs.RealServer
}

func (r *refMH) update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	r.table = map[uint32]*ipvs.RealServer{}
	turns := refTurns(servers)
	preferences := make([][]uint32, len(servers))
	for i, s := range servers {
		key := refFold(s.Addr.Addr()) + uint32(s.Addr.Port())
		offset := refMHHash(2654435761, key) % 4093
		skip := refMHHash(2654446892, key)%4092 + 1
		for j := range uint32(4093) {
			preferences[i] = append(preferences[i], (offset+j*skip)%4093)
		}
	}
	for len(turns) > 0 && len(r.table) < 4093 {
		for i, s := range servers {
			for turn := 0; turn < turns[s] && len(r.table) < 4093; turn++ {
				for r.table[preferences[i][0]] != nil {
					preferences[i] = preferences[i][1:]
				}
				r.table[preferences[i][0]] = s
			}
		}
	}
}

// refTurns reduces the latest weights to lowest terms and halves all of them
// until the greatest is below 64.
func refTurns(servers []*ipvs.RealServer) map[*ipvs.RealServer]int {
	turns := map[*ipvs.RealServer]int{}
	for _, s := range servers {
		if s.LastWeight() > 0 {
			turns[s] = int(s.LastWeight())
		}
	}
	for d := 64; d > 1; d-- {
		common := true
		for _, n := range turns {
			common = common && n%d == 0
		}
		for s := range turns {
			if common {
				turns[s] /= d
			}
		}
	}
	for len(turns) > 0 && slices.Max(slices.Collect(maps.Values(turns))) >= 64 {
		for s := range turns {
			turns[s] /= 2
		}
	}
	for s := range turns {
		turns[s] = max(turns[s], 1)
	}
	return turns
}

func (r *refMH) pick(f *Flow, _ time.Duration) *ipvs.RealServer {
	if len(r.table) == 0 {
		return nil
	}
	key := refFold(f.CIP)
	if r.port {
		key += uint32(f.CPort)
	}
	home := refMHHash(2654435761, key) % 4093
	if s := r.table[home]; eligible(s) {
		return s
	}
	for offset := uint32(0); r.fallback && offset < 4093; offset++ {
		again := (offset + home) % 4093
		if s := r.table[refMHHash(2654435761, again+key)%4093]; eligible(s) {
			return s
		}
	}
	return nil
}

func refMHHash(key uint64, v uint32) uint32 {
	return uint32(refSipHash(key, key, binary.LittleEndian.AppendUint32(nil, v), 1, 3))
}

// refSipHash is SipHash-c-d over any message, from the paper's definition.
func refSipHash(k0, k1 uint64, message []byte, c, d int) uint64 {
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	rounds := func(n int) {
		for range n {
			v[0] += v[1]
			v[2] += v[3]
			v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
			v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
			v[0] = bits.RotateLeft64(v[0], 32)
			v[2] += v[1]
			v[0] += v[3]
			v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
			v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	padded := append(slices.Clone(message), make([]byte, 7-len(message)%8)...)
	padded = append(padded, byte(len(message)))
	for ; len(padded) > 0; padded = padded[8:] {
		word := binary.LittleEndian.Uint64(padded)
		v[3] ^= word
		rounds(c)
		v[0] ^= word
	}
	v[2] ^= 0xff
	rounds(d)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}
