// Package ipvs is the vocabulary of natlb: the words that IPVS and its users
// have for virtual services, real servers, connections and their numbers.
//
// It holds values, names and errors, and depends on the standard library alone.
// Every other room of natlb speaks in these types:
//
//	ipvsadm words ─► []Change ─► Director ─► ServiceStatus, ConnStatus ─► listings
//
// A [Service] and a [Destination] are configuration as an operator types it. A
// [RealServer] is the live object behind a destination: the one value that the
// schedulers and the connection tables of all shards share.
package ipvs
