package sched

import "natlb/ipvs"

// heights finds the next server in list order whose height is enough, without a
// look at those between: a tree over the list in which every node knows the
// greatest height below it. A height is 0 or more, and 0 is never enough.
type heights struct {
	watched
	of   func(*ipvs.RealServer) int32
	on   ipvs.Numbers // what a height depends on
	tree []int32      // of node k; its children are 2k and 2k+1, the root is 1; the servers are the last half
}

// oneIf returns the height 1 for those of which something is true, 0 for others.
func oneIf(is func(*ipvs.RealServer) bool) func(*ipvs.RealServer) int32 {
	return func(s *ipvs.RealServer) int32 {
		if is(s) {
			return 1
		}
		return 0
	}
}

// build makes the tree of a new list.
func (h *heights) build() {
	size := leaves(len(h.servers))
	h.tree = make([]int32, 2*size)
	for i, s := range h.servers {
		h.tree[size+i] = h.of(s)
	}
	for k := size - 1; k > 0; k-- {
		h.tree[k] = max(h.tree[2*k], h.tree[2*k+1])
	}
}

// Prepare brings the heights up to date, in at most log2(servers) steps for each
// server that has changed.
func (h *heights) Prepare() { h.refresh(h.on, h.build, h.update) }

// any reports whether somebody's height is above 0 now.
func (h *heights) any() bool {
	h.Prepare()
	return h.highest() > 0
}

func (h *heights) update(i int) {
	k, height := len(h.tree)/2+i, h.of(h.servers[i])
	for h.tree[k] != height {
		h.tree[k] = height
		if k == 1 {
			return
		}
		height = max(height, h.tree[k^1])
		k /= 2
	}
}

// highest returns the greatest height.
func (h *heights) highest() int32 { return h.tree[1] }

// next returns the first place from the given one on with at least the height, or
// -1. The height is above 0.
func (h *heights) next(from int, height int32) int {
	if from >= len(h.servers) {
		return -1
	}
	k := len(h.tree)/2 + from
	for h.tree[k] < height {
		for k%2 == 1 { // the right one of two, or the root: behind the parent then
			k /= 2
		}
		if k == 0 {
			return -1
		}
		k++
	}
	for k < len(h.tree)/2 {
		if k *= 2; h.tree[k] < height {
			k++
		}
	}
	return k - len(h.tree)/2
}

// fork returns the heights of the servers' twins.
func (h *heights) fork(twin Twins) heights {
	return heights{watched: h.watched.fork(twin), of: h.of, on: h.on}
}
