package ipvs

import "net/netip"

// SourceStatus is a source address of FullNAT as it is now.
type SourceStatus struct {
	Addr    netip.Addr
	Conns   int64 // that have it
	Deleted bool  // no new ones take it
	Local   bool  // the host has got the address: no new ones take it, and natlb does not answer for it
}
