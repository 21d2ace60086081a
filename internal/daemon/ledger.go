package daemon

import (
	"strconv"
	"strings"

	"natlb/dataplane"
	"natlb/internal/control"
)

// Ledger implements [control.Director].
func (f front) Ledger() control.Ledger {
	l := ledgerOf(f.Director.Ledger())
	for _, s := range f.Director.Unreachable() {
		l.Unreachable = append(l.Unreachable, control.LostServerOf(&s))
	}
	return l
}

// ledgerClasses are the classes of verdicts by the first word of their names.
var ledgerClasses = map[string]string{
	"forward": "forwarded", "route": "routed", "answer": "answered", "pass": "passed", "held": "held", "drop": "dropped",
}

// protocolNames are protocols with a name, by their number.
var protocolNames = map[uint8]string{1: "icmp", 58: "icmpv6", 6: "tcp", 17: "udp", 132: "sctp"}

func ledgerOf(l dataplane.Ledger) control.Ledger {
	out := control.Ledger{Clock: int64(l.At), Received: l.Received, HandingOver: l.HandingOver, Unreachable: []control.LostServer{}}
	for i := range l.Entries {
		e := &l.Entries[i]
		first, _, _ := strings.Cut(e.Verdict.String(), "-")
		entry := control.LedgerEntry{
			Name: e.Verdict.String(), Class: ledgerClasses[first], Count: e.Frames,
			Meaning: e.Verdict.Meaning(), Advice: e.Verdict.Advice(),
		}
		if e.Last != nil {
			entry.Last = sightingOf(e.Last)
		}
		out.Verdicts = append(out.Verdicts, entry)
	}
	return out
}

func sightingOf(s *dataplane.Sighting) *control.Sighting {
	out := &control.Sighting{
		Clock: int64(s.At), Link: s.Link, Length: s.Length, EtherType: s.EtherType, Source: s.Src, Destination: s.Dst,
	}
	switch s.EtherType {
	case etherTypeARP:
		out.Protocol = "arp"
	case etherTypeIPv4, etherTypeIPv6:
		if out.Protocol = protocolNames[s.Proto]; out.Protocol == "" {
			out.Protocol = strconv.Itoa(int(s.Proto))
		}
	}
	if s.Type >= 0 {
		out.ICMPType, out.ICMPCode = &s.Type, &s.Code
	}
	return out
}

const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
	etherTypeARP  = 0x0806
)
