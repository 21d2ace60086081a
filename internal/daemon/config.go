package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"

	"natlb/dataplane"
)

// GuardMode says whether natlb may install nftables rules.
type GuardMode string

// Guard modes.
const (
	GuardAuto GuardMode = "auto" // where the host would interfere
	GuardNFT  GuardMode = "nft"  // the same, but refuse to start where nftables cannot be used
	GuardNone GuardMode = "none" // never; refuse to start where the host would interfere
)

// Config is what the command line of `natlb run` says.
type Config struct {
	VIPLinks []string // interfaces towards the clients
	DIPLinks []string // interfaces towards the real servers; may be the same
	Rules    string   // rules file, or empty
	Socket   string   // path of the control socket
	NoRoute  bool     // do not act as the real servers' gateway
	Quiesce  bool     // the default of sysctl quiesce_unreachable is 1
	FTPPorts []int    // virtual ports whose connections get the FTP helper; none: no helper
	Guard    GuardMode
	Ring     int               // frames that a receive ring holds, 0: no ring, RingBySpeed
	MergeUDP bool              // send neighbouring datagrams of a flow as one super-packet
	Polling  dataplane.Polling // how a thread waits for frames
	MaxConns int               // cap on connections, 0: the default
	Shards   int               // threads that share the clients among them, 0: the default
	Reload   <-chan os.Signal  // asks to apply Rules again; may be nil
	Version  string            // of natlb
	Log      *slog.Logger
}

// check refuses what cannot work before anything is opened.
func (c *Config) check() error {
	switch {
	case len(c.VIPLinks) == 0:
		return fmt.Errorf("no interface towards the clients: give --vip-if IF")
	case len(c.DIPLinks) == 0:
		return fmt.Errorf("no interface towards the real servers: give --dip-if IF (the same as --vip-if for one arm)")
	case c.Shards < 0 || c.Shards > maxShards:
		return fmt.Errorf("--shards takes a number from 1 to %d, not %d", maxShards, c.Shards)
	case c.Ring < RingBySpeed || c.Ring > maxRing:
		return fmt.Errorf("--ring takes a number of frames from 0 to %d, or %d for what fits the link, not %d", maxRing, RingBySpeed, c.Ring)
	case !slices.Contains(dataplane.Pollings, c.Polling):
		return fmt.Errorf("--poll takes idle, adaptive or busy, not %q", c.Polling)
	case c.MaxConns < 0 || c.MaxConns > maxMaxConns:
		return fmt.Errorf("--max-conns takes a number of connections up to %d, not %d", maxMaxConns, c.MaxConns)
	case len(c.FTPPorts) > maxFTPPorts:
		return fmt.Errorf("--ftp-ports takes at most %d ports, not %d", maxFTPPorts, len(c.FTPPorts))
	case slices.ContainsFunc(c.FTPPorts, func(p int) bool { return p < 2 || p > 65535 }):
		return fmt.Errorf("--ftp-ports takes ports from 2 to 65535 (the port below is that of the data), not %v", c.FTPPorts)
	case !slices.Contains([]GuardMode{GuardAuto, GuardNFT, GuardNone}, c.Guard):
		return fmt.Errorf("--guard takes auto, nft or none, not %q", c.Guard)
	}
	return nil
}

// maxMaxConns is a number of entries that their 32-bit names always reach, in some 340
// GB of memory.
const maxMaxConns = 1<<31 - 1

// maxShards is what the kernel takes as members of one group, on any version
// (PACKET_FANOUT_MAX).
const maxShards = 256

// shards returns the number of shards to run. On one or two processors one is
// faster than two: the kernel's own work needs the other.
func (c *Config) shards() int {
	if c.Shards > 0 {
		return c.Shards
	}
	return min(max(runtime.NumCPU()/2, 1), maxShards)
}

// Sizes of receive rings, in frames of 2 KiB.
const (
	RingBySpeed = -1 // what the link's speed and the number of shards ask for (slotsFor)
	maxRing     = 1 << 20
)

// DefaultPolling costs nothing while nothing comes, and saves a wake-up for each
// packet of a conversation (bench/results).
const DefaultPolling = dataplane.PollAdaptive

// maxFTPPorts is as many as the kernel's module takes (IP_VS_APP_MAX_PORTS).
const maxFTPPorts = 8

// ftpPorts returns the ports as the data path has them.
func (c *Config) ftpPorts() (ports []uint16) {
	for _, p := range c.FTPPorts {
		ports = append(ports, uint16(p))
	}
	return ports
}

// links returns the director's links: each interface once, with its sides.
func (c *Config) links() []dataplane.Link {
	var links []dataplane.Link
	add := func(names []string, side dataplane.Side) {
		for _, name := range names {
			i := slices.IndexFunc(links, func(l dataplane.Link) bool { return l.Name == name })
			if i < 0 {
				i = len(links)
				links = append(links, dataplane.Link{Name: name})
			}
			links[i].Side |= side
		}
	}
	add(c.VIPLinks, dataplane.VIPSide)
	add(c.DIPLinks, dataplane.DIPSide)
	return links
}
