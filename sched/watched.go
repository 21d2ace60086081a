package sched

import (
	"slices"

	"natlb/ipvs"
)

// watched is a list for the schedulers that do not look at every server for each
// connection: what they have computed of a server holds until its numbers
// change.
//
// An empty list ends the watch. What the scheduler computes is current from the
// moment of its refresh on, which lies within the call that asks for it.
type watched struct {
	list
	watch *ipvs.Watch // nil before the first list
}

// take puts the new list in the place of the old one, and reports whether it is
// another one: then everything is to be computed anew. Numbers of a list that is
// the same are told by the watch.
func (w *watched) take(servers []*ipvs.RealServer, of ipvs.Numbers) bool {
	same := w.watch != nil && slices.Equal(w.servers, servers)
	w.servers = servers
	if same {
		return false
	}
	if w.watch != nil {
		w.watch.Close()
	}
	w.watch = ipvs.NewWatch(servers, of)
	return true
}

// refresh calls update with the place of each server whose numbers have changed.
func (w *watched) refresh(update func(i int)) {
	if w.watch != nil {
		w.watch.Take(update)
	}
}

// leaves returns how many leaves a binary tree over n servers has: a power of
// two, so that left in the tree is before in the list, and not the root itself.
func leaves(n int) int {
	size := 2
	for size < n {
		size *= 2
	}
	return size
}
