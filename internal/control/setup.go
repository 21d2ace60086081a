package control

import "net/netip"

// Setup is how a director was started and what it stands on: what natlb doctor
// compares with the host.
type Setup struct {
	Links        []SetupLink  `json:"links"`
	Namespace    uint64       `json:"network_namespace"` // inode of the director's network namespace
	Capabilities []string     `json:"capabilities"`      // those of natlb's needs that the director has: cap_net_raw, cap_net_admin
	Guard        string       `json:"guard"`             // auto, nft or none
	Guarding     bool         `json:"guarding"`          // the guard's rules are installed
	GuardFault   string       `json:"guard_fault,omitempty"`
	Route        bool         `json:"route"`   // what real servers send outside of connections is routed
	Methods      []string     `json:"methods"` // forwarding methods that this version carries out
	FTPPorts     []uint16     `json:"ftp_ports,omitempty"`
	MarkedVIPs   []netip.Addr `json:"marked_vips,omitempty"` // addresses that firewall marks lead to
	Shards       int          `json:"shards"`
	Conns        int          `json:"conns"`        // entries of the connection table now
	MaxConns     int          `json:"max_conns"`    // its cap, all shards together
	Memory       uint64       `json:"memory_bytes"` // resident, 0 when it cannot be told
}

// SetupLink is one interface of a director.
type SetupLink struct {
	Name  string   `json:"name"`
	Sides []string `json:"sides"` // vip, dip, or both for one arm
	Index int      `json:"index"` // interface index, 0 while the interface is gone
}

type setupReply struct {
	header
	Setup
}
