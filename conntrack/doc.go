// Package conntrack is the connection table of a director: entries, the hash
// that finds them, the timer wheel that ends them, and the protocol states in
// between.
//
//	packet in  (CIP:CPort ► VIP:VPort) ─┐                      ┌─► state machine
//	                                    ├─► one hash on ─► Conn4 ─► timer wheel
//	packet out (RIP:RPort ► CIP:CPort) ─┘   (proto, CIP, CPort)
//
// NAT never changes the client endpoint, so one entry with one index slot serves
// both directions. Entries live in slabs and link to each other by index: a
// table of millions gives the garbage collector nothing to scan.
//
// A table belongs to one shard. Nothing here locks, reads a clock or allocates
// on a hit; memory grows by whole slabs.
package conntrack
