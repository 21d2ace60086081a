package sched

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"natlb/ipvs"
)

// goldenRatio is the multiplier of the kernel's hash_32 (include/linux/hash.h).
const goldenRatio = 0x61C88647

// hash32 returns the top bits of x times the golden ratio, as hash_32 does.
func hash32(x uint32, bits uint) uint32 {
	return x * goldenRatio >> (32 - bits)
}

// fold makes one number of an address: an IPv4 address as it is, in host byte
// order; an IPv6 address as its four words XORed together (ip_vs_sh.c and the
// other hashing schedulers).
func fold(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[0:]) ^ binary.BigEndian.Uint32(b[4:]) ^
		binary.BigEndian.Uint32(b[8:]) ^ binary.BigEndian.Uint32(b[12:])
}

// clientKey is what sh and mh hash: the client's address, plus its port if the
// service asks for that.
type clientKey struct {
	fallback, port bool
}

// SetFlags implements [Reflag].
func (k *clientKey) SetFlags(flags ipvs.ServiceFlags) {
	k.fallback = flags&ipvs.FlagSched1 != 0
	k.port = flags&ipvs.FlagSched2 != 0
}

// of returns the number of a flow's client; the sum wraps at 32 bits.
func (k *clientKey) of(f *Flow) uint32 {
	key := fold(f.CIP)
	if k.port {
		key += uint32(f.CPort)
	}
	return key
}

// fact returns the key as an explanation shows it.
func (k *clientKey) fact(f *Flow) Fact {
	of := "the client's address"
	if k.port {
		of += " + port"
	}
	return Fact{"hash key", fmt.Sprintf("%d, %s", k.of(f), of)}
}

// elseNext says what becomes of a client whose server is not to be had.
func (k *clientKey) elseNext() string {
	if k.fallback {
		return ", else that of the next slot tried"
	}
	return ", nobody if it is not to be had"
}

// probed returns the candidates of a table of slots that is looked into at
// probes, one after the other.
func probed(servers, slots []*ipvs.RealServer, probes []uint32) (candidates []Candidate) {
	share := map[*ipvs.RealServer]int{}
	for _, s := range slots {
		share[s]++
	}
	found := map[*ipvs.RealServer]int{} // the look that meets the server first, from 1 on
	for i, slot := range probes {
		if s := slots[slot]; s != nil && found[s] == 0 {
			found[s] = i + 1
		}
	}
	for _, s := range servers {
		c := Candidate{Server: s, Load: int64(found[s]), Per: 1, Out: unfit(s), Note: fmt.Sprintf("%d slots", share[s])}
		switch at := found[s]; {
		case at > 0:
			c.Note += fmt.Sprintf(", slot %d", probes[at-1])
		case c.Out == "":
			c.Out = "another's slot"
		}
		candidates = append(candidates, c)
	}
	return candidates
}
