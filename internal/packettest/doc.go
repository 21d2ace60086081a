// Package packettest makes packets, reads them back as text and stands in for
// the network around a director. It is for tests only: no room of production
// imports it.
//
//	Packet, ARP ─► frames ─► [ Shard ] ─► frames ─► Describe: one line of text
//	                            │
//	                          Host: routes, neighbours, links in memory
//	Pipe: two ends of a cable in memory, each a dataplane.Port
package packettest
