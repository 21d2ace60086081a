package conntrack

// Hash returns what Fetch takes: the hash of a client endpoint, in host byte
// order.
func (t *Table) Hash(proto uint8, cip uint32, cport uint16) uint32 { return t.hash(proto, cip, cport) }

// Fetch brings what look-ups of these hashes are going to read into the CPU's
// caches. It is a hint and changes nothing. In a large table a look-up waits twice
// for main memory, for its bucket and then for its entry; here no load depends on
// the one before, so that the CPU waits for many of them at the same time.
func (t *Table) Fetch(hashes []uint32) {
	var sum uint32
	for _, h := range hashes {
		sum += t.index.bucket(h).hashes[0]
	}
	for _, h := range hashes {
		if r := t.index.newest(h); r != 0 {
			c := t.At(r)
			sum += c.CIP + uint32(c.Deadline) // both ends: entries lie across cache lines
		}
	}
	if t.cfg.V6 {
		sum += t.fetchEnds(hashes)
	}
	t.fetched = sum
}

// fetchEnds is Fetch for the addresses beside the entries; the buckets are there.
func (t *Table) fetchEnds(hashes []uint32) (sum uint32) {
	for _, h := range hashes {
		if r := t.index.newest(h); r != 0 {
			e := t.Ends6(r)
			sum += uint32(e.CIP.Lo + e.RIP.Lo)
		}
	}
	return sum
}
