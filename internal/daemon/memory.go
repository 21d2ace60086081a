package daemon

import (
	"bytes"
	"math"
	"os"
	"strconv"

	"natlb/conntrack"
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
// as fit into a quarter of the machine's memory, at most the table's default.
func (d *daemon) maxConns() int {
	const entry = 112 // bytes, index included
	if d.cfg.MaxConns > 0 {
		return d.cfg.MaxConns
	}
	return min(totalMemory()/4/entry, conntrack.DefaultMax)
}

// ringSlots returns the size of the ring of one port: what was asked for, but no
// more than that all rings together take a sixteenth of the machine's memory.
func (d *daemon) ringSlots() int {
	const slot = 2048 // bytes
	return min(d.cfg.Ring, totalMemory()/16/slot/(len(d.links.links)*d.cfg.Shards))
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
