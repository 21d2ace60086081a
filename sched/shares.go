package sched

import "natlb/ipvs"

// shares lays the servers' weights end to end, in list order, and finds the one
// at a distance: a tree over the list in which every node knows the sum below
// it. Servers that may not be picked have no share.
type shares struct {
	watched
	tree []int64 // of node k; its children are 2k and 2k+1, the root is 1; the servers are the last half
}

// share is the part of a server.
func share(s *ipvs.RealServer) int64 {
	if s.Overloaded() {
		return 0
	}
	return int64(max(s.Weight(), 0))
}

// build makes the tree of a new list.
func (h *shares) build() {
	size := leaves(len(h.servers))
	h.tree = make([]int64, 2*size)
	for i, s := range h.servers {
		h.tree[size+i] = share(s)
	}
	for k := size - 1; k > 0; k-- {
		h.tree[k] = h.tree[2*k] + h.tree[2*k+1]
	}
}

// Prepare brings the shares up to date, in log2(servers) steps for each server
// that has changed.
func (h *shares) Prepare() { h.refresh(ipvs.Fitness, h.build, h.update) }

// total returns the sum of the shares now.
func (h *shares) total() int64 {
	h.Prepare()
	return h.tree[1]
}

func (h *shares) update(i int) {
	k := len(h.tree)/2 + i
	if more := share(h.servers[i]) - h.tree[k]; more != 0 {
		for ; k > 0; k /= 2 {
			h.tree[k] += more
		}
	}
}

// drawn returns the server in whose share a draw falls, from 0 to the total: the
// first whose share ends at the draw or behind it. The total is not 0.
func (h *shares) drawn(draw int64) *ipvs.RealServer {
	draw = max(draw, 1) // 0 is the first server's, too, and no empty share's
	k := 1
	for k < len(h.tree)/2 {
		k *= 2
		left := h.tree[k]
		right := (left - draw) >> 63 // ones if it falls there: chance decides, no branch could be foretold
		draw -= left & right
		k += int(right & 1)
	}
	return h.servers[k-len(h.tree)/2]
}

// fork returns the shares of the servers' twins.
func (h *shares) fork(twin Twins) shares { return shares{watched: h.watched.fork(twin)} }
