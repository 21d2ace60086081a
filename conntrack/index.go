package conntrack

// index finds entries by the hash of their client endpoint. A bucket is one
// cache line, which names its newest entries with their hashes: a look-up reads
// that line and the entry it is after, and growing reads no entry at all. What a
// full bucket has no room for is chained behind it, through the entries.
//
// It grows by linear hashing: an insertion above the load limit splits one
// bucket, so that growing never stalls, and shrinking is not needed. Segments of
// fixed size keep the array from ever being copied.
type index struct {
	segments [][]bucket
	mask     uint32 // 2^level - 1
	split    uint32 // buckets below it are addressed with one bit more
}

// bucket holds entries newest first. rest is 0 unless all slots are taken.
type bucket struct {
	hashes [bucketSlots]uint32
	refs   [bucketSlots]Ref // 0: free, and so are the ones behind it
	rest   Ref              // older entries, linked by next
	_      uint32           // fills up the cache line
}

const (
	bucketSlots = 7

	segmentBits = 12 // 256 KiB a segment
	segmentSize = 1 << segmentBits
)

func newIndex() index {
	return index{segments: [][]bucket{make([]bucket, segmentSize)}, mask: segmentSize - 1}
}

// smallIndex returns an index that n entries do not make grow, which it cannot.
func smallIndex(n int) index {
	size := uint32(1)
	for 2*n > 7*int(size) {
		size *= 2
	}
	return index{segments: [][]bucket{make([]bucket, size)}, mask: size - 1}
}

// bucket returns the place of entries with hash h.
func (x *index) bucket(h uint32) *bucket {
	b := h & x.mask
	if b < x.split {
		b = h & (x.mask<<1 | 1)
	}
	return x.at(b)
}

func (x *index) at(b uint32) *bucket { return &x.segments[b>>segmentBits][b&(segmentSize-1)] }

// size returns the number of buckets in use.
func (x *index) size() int { return int(x.mask) + 1 + int(x.split) }

// overloaded reports whether n entries are too many: more than 3.5 to a bucket.
// Buckets that wait for their split then have seven at most on average.
func (x *index) overloaded(n int) bool { return 2*n > 7*x.size() }

// candidates walks the entries that may have a hash, newest first. Those in the
// slots do; of chained ones the key tells.
type candidates struct {
	b    *bucket
	hash uint32
	i    int // next slot
	last Ref // the chained entry that came last
}

func (x *index) find(h uint32) candidates { return candidates{b: x.bucket(h), hash: h} }

// newest returns the newest entry in a slot that may have hash h, 0 if there is none.
func (x *index) newest(h uint32) Ref {
	b := x.bucket(h)
	for i, r := range b.refs {
		if b.hashes[i] == h && r != 0 {
			return r
		}
	}
	return 0
}

// next returns the next entry, 0 at the end.
func (c *candidates) next(t *Table) Ref {
	for c.i < bucketSlots {
		i := c.i
		c.i++
		if c.b.hashes[i] == c.hash && c.b.refs[i] != 0 {
			return c.b.refs[i]
		}
	}
	return c.chained(t)
}

func (c *candidates) chained(t *Table) Ref {
	switch {
	case c.i == bucketSlots:
		c.i++
		c.last = c.b.rest
	case c.last != 0:
		c.last = t.At(c.last).next
	}
	return c.last
}

// add enters r, which has hash h, as the newest.
func (x *index) add(t *Table, h uint32, r Ref) {
	b := x.bucket(h)
	if oldest := b.refs[bucketSlots-1]; oldest != 0 {
		t.At(oldest).next, b.rest = b.rest, oldest
	}
	copy(b.hashes[1:], b.hashes[:bucketSlots-1])
	copy(b.refs[1:], b.refs[:bucketSlots-1])
	b.hashes[0], b.refs[0] = h, r
}

// remove takes out r, which was entered with hash h.
func (x *index) remove(t *Table, h uint32, r Ref) {
	b := x.bucket(h)
	for i := range b.refs {
		if b.refs[i] == r {
			b.close(t, i)
			return
		}
	}
	for p := &b.rest; *p != 0; p = &t.At(*p).next {
		if *p == r {
			*p = t.At(r).next
			return
		}
	}
}

// close moves what is behind slot i up by one.
func (b *bucket) close(t *Table, i int) {
	const last = bucketSlots - 1
	copy(b.hashes[i:], b.hashes[i+1:])
	copy(b.refs[i:], b.refs[i+1:])
	b.hashes[last], b.refs[last] = 0, b.rest
	if b.rest != 0 {
		c := t.At(b.rest)
		b.hashes[last], b.rest = t.hashOf(b.rest, c), c.next
	}
}

// grow splits the next bucket: of the entries of one bucket, those that belong
// there move to a new one. Both keep their order, because with duplicate keys the
// newest must be found first.
func (x *index) grow(t *Table) {
	high := x.mask + 1
	fresh := x.split + high
	for int(fresh>>segmentBits) >= len(x.segments) {
		x.segments = append(x.segments, make([]bucket, segmentSize))
	}
	low := x.at(x.split)
	old := *low
	*low = bucket{}
	halves := [2]filling{{b: low}, {b: x.at(fresh)}}
	half := func(h uint32) *filling {
		if h&high != 0 {
			return &halves[1]
		}
		return &halves[0]
	}
	for i, r := range old.refs {
		if r == 0 {
			break
		}
		half(old.hashes[i]).add(t, old.hashes[i], r)
	}
	for r := old.rest; r != 0; {
		c := t.At(r)
		next, h := c.next, t.hashOf(r, c)
		half(h).add(t, h, r)
		r = next
	}
	if x.split++; x.split == high {
		x.split, x.mask = 0, x.mask<<1|1
	}
}

// filling fills an empty bucket, newest entry first.
type filling struct {
	b    *bucket
	n    int // slots taken
	last Ref // end of the chain
}

func (f *filling) add(t *Table, h uint32, r Ref) {
	if f.n < bucketSlots {
		f.b.hashes[f.n], f.b.refs[f.n] = h, r
		f.n++
		return
	}
	t.At(r).next = 0
	if f.last == 0 {
		f.b.rest = r
	} else {
		t.At(f.last).next = r
	}
	f.last = r
}
