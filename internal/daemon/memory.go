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

// ringSlots returns the size of the ring that each shard has of a link of that speed.
func (d *daemon) ringSlots(speed int) int {
	return ringOf(d.cfg.Ring, speed, d.cfg.Shards, len(d.links.links), totalMemory())
}

// ringOf returns how many frames each shard's ring of a link holds: its share of what
// was asked for, or what fits the link's speed in Mbit/s, but no more than that all
// rings of all links together take a sixteenth of the machine's memory in bytes.
func ringOf(asked, speed, shards, links, memory int) int {
	each := asked / shards
	switch asked {
	case 0:
		return 0
	case RingBySpeed:
		each = slotsFor(speed, shards)
	}
	return max(min(each, memory/16/dataplane.SlotSize/(links*shards)), 1)
}

// slotsFor returns how many frames fit each of so many rings of a link of that speed:
// what is received in some 10 ms, at least as much as at 10 Gbit/s (a link that does
// not tell its speed is mostly a virtual one), and in all of them together what eight
// greedy TCP connections may have under way. A director that is the narrowest place of
// their way otherwise loses packets all the time, and moves little more than half of
// what it can (bench/results/2026-11-23-ring.md).
func slotsFor(speed, rings int) int {
	const (
		of10G = 8192
		eight = 32768 // measured: with Linux's default of 4 MB a sender half of it is too little
	)
	return min(max(of10G, of10G*(speed/1000)/10, eight/rings), maxRing)
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
