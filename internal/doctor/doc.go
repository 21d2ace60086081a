// Package doctor says what is wrong with a director's host: `natlb doctor`.
//
//	control socket ─┐
//	netlink, /proc ─┼─► Look ─► Facts ─► Examine ─► Findings ─► text or JSON
//	probes ─────────┘                      │
//	                                 one check per fact
//
// Look is the half that touches the world. It reads, and it asks: ARP probes
// for the VIPs (RFC 5227), pings to the real servers, a connection to a server
// that owes answers. It changes no rule, address, route or setting. Examine is
// the other half, a pure function: every check can be tested on facts that no
// machine here could show.
package doctor
