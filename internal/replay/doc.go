// Package replay runs captures through the production core, on the captures'
// own clock and with nothing left to chance: the same captures and rules give
// the same bytes on any machine.
//
//	vip.pcap ─┐            what others sent              ┌─► rewritten packets, by side
//	          ├─ by time ─► Shard.Process(frame, time) ──┼─► connections, who got whom and why
//	dip.pcap ─┘     └─ what the director itself sent     └─► ledger of verdicts, shares of the servers
//
// The director is the one that serves live traffic: one shard of
// [dataplane.Director]. What it asks about its host is answered by a picture in
// which natlb owns the VIPs, the real servers of the rules are on the DIP side
// and everybody else is on the VIP side.
package replay
