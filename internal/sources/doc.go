// Package sources is the list of addresses from which a director speaks to the real
// servers of FULLNAT, in place of their clients, and the words by which the list is
// changed:
//
//	add 10.20.0.240-10.20.0.243
//	add fd20::f0/126
//	delete 10.20.0.241
//	list
//
//	words ─► Parse ─► Command ─► Set.Apply ─► Set ─► Lines (the rules file, natlb source list)
//
// A Set never changes: each change makes a new one. It holds single addresses, since
// a director answers ARP or neighbour discovery for each of them, and a bounded
// number.
package sources
