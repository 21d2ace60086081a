package daemon

import (
	"bytes"
	"math"
	"os"
	"strconv"

	"natlb/conntrack"
	"natlb/dataplane"
)

// freePages returns the host's free memory and block buffers in pages of 4 KiB,
// the measure of IPVS's automatic defences (semantics section 10). Where it
// cannot be told, memory is taken to be plenty.
func freePages() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return plenty
	}
	free, ok := meminfo(b, "MemFree:")
	if !ok {
		return plenty
	}
	buffers, _ := meminfo(b, "Buffers:")
	return (free + buffers) / 4
}

const plenty = 1 << 30

// shardConns returns the cap on the connections of one shard.
func (d *daemon) shardConns() int { return (d.maxConns() + d.cfg.Shards - 1) / d.cfg.Shards }

// maxConns returns the cap on connections: what the operator said, else as many
// as fit into a quarter of the machine's memory, all of IPv6 if they are so, at most
// the table's default.
func (d *daemon) maxConns() int {
	if d.cfg.MaxConns > 0 {
		return d.cfg.MaxConns
	}
	return min(totalMemory()/4/conntrack.MostEntryBytes, conntrack.DefaultMax)
}

// ringSlots returns the size of the ring of one port: what was asked for, or what
// fits the link's speed in Mbit/s, but no more than that all rings together take a
// sixteenth of the machine's memory.
func (d *daemon) ringSlots(speed int) int {
	const slot = 2048 // bytes
	want := d.cfg.Ring
	if want == RingBySpeed {
		want = slotsFor(speed, d.cfg.Shards)
	}
	return min(want, totalMemory()/16/slot/(len(d.links.links)*d.cfg.Shards))
}

// slotsFor returns how many frames a ring holds of a link of that speed in Mbit/s
// with so many rings: what is received in some 10 ms, at least as much as at 10
// Gbit/s (a link that does not tell its speed is mostly a virtual one), and all of
// them together the windows of eight greedy TCP connections. A director that is the
// narrowest place of their way otherwise loses packets all the time, and moves two
// thirds of what it can (bench/results/2026-11-23-ring.md).
func slotsFor(speed, rings int) int {
	const (
		of10G   = 8192
		windows = 32768 // frames of 1,500 bytes; Linux offers a window of 3 MB and more
	)
	return min(max(of10G, of10G*(speed/1000)/10, windows/rings), maxRing)
}

// bufferFor returns the receive buffer of a link of that speed, in bytes; 0 for
// the default, which does for 10 Gbit/s.
func bufferFor(speed int) int {
	const most = 256 << 20
	if speed <= 10_000 {
		return 0
	}
	return min(dataplane.DefaultRecvBuffer/10*(speed/1000), most)
}

// totalMemory returns the machine's memory in bytes. Where it cannot be told, it
// is taken to be plenty.
func totalMemory() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt
	}
	total, ok := meminfo(b, "MemTotal:")
	if !ok {
		return math.MaxInt
	}
	return total << 10
}

// meminfo returns a field of /proc/meminfo, in KiB.
func meminfo(b []byte, name string) (int, bool) {
	_, rest, ok := bytes.Cut(b, []byte(name))
	if !ok {
		return 0, false
	}
	fields := bytes.Fields(rest[:min(len(rest), 40)])
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(string(fields[0]))
	return n, err == nil
}
