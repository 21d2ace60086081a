package sched

import (
	"slices"

	"natlb/ipvs"
)

// watched is a list for the schedulers that do not look at every server for each
// connection: what they have computed of a server holds until its numbers
// change.
//
// After a change of the list everything is computed anew, by Prepare or else by
// the first pick, and not for each of many changes in a row. An empty list ends
// the watch.
type watched struct {
	list
	watch *ipvs.Watch // nil: what is computed is not of this list
}

// Update takes the new list. If it is the one before, the watch tells what an
// edit has changed.
func (w *watched) Update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	same := slices.Equal(w.servers, servers)
	w.servers = servers
	if w.watch != nil && !same {
		w.watch.Close()
		w.watch = nil
	}
}

// refresh brings what is computed up to date: build does it for a new list,
// update for the server at a place of it.
func (w *watched) refresh(of ipvs.Numbers, build func(), update func(i int)) {
	if w.watch != nil {
		w.watch.Take(update)
		return
	}
	w.watch = ipvs.NewWatch(w.servers, of)
	build()
}

// fork returns the watched list of the servers' twins.
func (w *watched) fork(twin Twins) watched { return watched{list: w.list.fork(twin)} }

// leaves returns how many leaves a binary tree over n servers has: a power of
// two, so that left in the tree is before in the list, and not the root itself.
func leaves(n int) int {
	size := 2
	for size < n {
		size *= 2
	}
	return size
}
