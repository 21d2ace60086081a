// Package conntrack is the connection table of a director: entries, the hash
// that finds them, the timer wheel that ends them, and the protocol states in
// between.
//
//	packet in  (CIP:CPort ► VIP:VPort) ─┐                      ┌─► state machine
//	                                    ├─► one hash on ─► Conn ─► timer wheel
//	packet out (RIP:RPort ► CIP:CPort) ─┘   (proto, CIP, CPort)
//
// A table is of IPv4 or of IPv6. Entries of the two are the same, but for the
// addresses, which a table of IPv6 keeps beside them: see [Ends6].
//
// NAT never changes the client endpoint, so one entry with one index slot serves
// both directions; FULLNAT does, and its connections have a second one: see
// [Table.Pair]. Entries live in slabs and link to each other by index: a
// table of millions gives the garbage collector nothing to scan.
//
// A table belongs to one shard. Nothing here locks, reads a clock or allocates
// on a hit; memory grows by whole slabs.
package conntrack
