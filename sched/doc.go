// Package sched holds the schedulers: the algorithms that pick the real server
// of each new connection, as IPVS has them, pick for pick.
//
//	configuration change ─► Update ─┐
//	                                ▼
//	first packet ─► Flow ─► Schedule(flow, now) ─► *ipvs.RealServer or nil
//	                                ▲
//	live weight, connection counts, overload flag (read from ipvs.RealServer)
//
// A virtual service owns one [Scheduler], made by [New] from the name that the
// operator typed. Each algorithm is one file, named as the scheduler is.
//
// What most of them share:
//
//   - The server list is newest first. A server that was added last is walked
//     first, so it wins ties and is the first pick of a rotation.
//   - Weight 0 (quiesced) and the overload flag keep a server from being picked.
//   - Counts are those before the new connection is bound.
//   - A nil pick means that the client is refused; no other server is asked.
//   - A pick costs about the same with a thousand servers as with sixteen: what
//     is computed of a server holds until it tells of a change (watched.go; the
//     trees are contest.go, heights.go and shares.go).
//
// To add a scheduler, write one file with a type that implements [Scheduler]
// (and [Reflag], [Expirer], [Aging] or [Explainer] where it needs them) and one line in the
// table of names.go.
package sched
