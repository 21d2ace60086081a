package conntrack

// index is the bucket array of a hash table with chains, grown by linear
// hashing: each insertion above the load limit splits one bucket, so that
// growing never stalls, and shrinking is not needed (an empty bucket costs four
// bytes). Segments of fixed size keep the array from ever being copied.
type index struct {
	segments [][]Ref
	mask     uint32 // 2^level - 1
	split    uint32 // buckets below it are addressed with one bit more
}

const (
	segmentBits = 14 // 64 KiB a segment
	segmentSize = 1 << segmentBits

	firstLevel = 12 // 4,096 buckets, the kernel's default table
)

func newIndex() index {
	return index{segments: [][]Ref{make([]Ref, segmentSize)}, mask: 1<<firstLevel - 1}
}

// bucket returns the chain head for hash h.
func (x *index) bucket(h uint32) *Ref {
	b := h & x.mask
	if b < x.split {
		b = h & (x.mask<<1 | 1)
	}
	return x.at(b)
}

func (x *index) at(b uint32) *Ref { return &x.segments[b>>segmentBits][b&(segmentSize-1)] }

// size returns the number of buckets in use.
func (x *index) size() int { return int(x.mask) + 1 + int(x.split) }

// grow splits the next bucket. Both halves keep the order of their entries,
// because with duplicate keys the newest must be found first.
func (x *index) grow(at func(Ref) *Conn4) {
	old, high := x.split, x.mask+1
	fresh := old + high
	for int(fresh>>segmentBits) >= len(x.segments) {
		x.segments = append(x.segments, make([]Ref, segmentSize))
	}
	from, to := x.at(old), x.at(fresh)
	for r := *from; r != 0; {
		c := at(r)
		next := c.next
		if c.hash&high != 0 {
			*to, to = r, &c.next
		} else {
			*from, from = r, &c.next
		}
		r = next
	}
	*from, *to = 0, 0

	if x.split++; x.split == high {
		x.split, x.mask = 0, x.mask<<1|1
	}
}
