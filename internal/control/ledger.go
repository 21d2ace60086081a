package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// Ledger is one consistent look at what became of every frame received: Received
// is the sum of all Counts and HandingOver, whenever it is asked for.
type Ledger struct {
	Clock       int64         `json:"clock_ns"`     // the director's: rates are told from two readings
	Received    uint64        `json:"received"`     // frames
	HandingOver uint64        `json:"handing_over"` // frames on their way from one shard to another, which count as held
	Verdicts    []LedgerEntry `json:"verdicts"`     // all that there are, in the order of docs/verdicts.md
	Unreachable []LostServer  `json:"unreachable"`  // real servers that cannot be reached
}

// LostServer is a real server that cannot be reached.
type LostServer struct {
	Service  wireService    `json:"service"` // its key
	Address  netip.AddrPort `json:"address"`
	For      int64          `json:"unreachable_seconds"`
	Packets  uint64         `json:"unreachable_packets"` // that did not reach it since it was added
	Withheld bool           `json:"withheld"`            // it takes no new connection (sysctl quiesce_unreachable)
}

// LostServerOf returns what the control socket says of l.
func LostServerOf(l *ipvs.LostServer) LostServer {
	return LostServer{wireServiceOf(&ipvs.Service{Key: l.Service}), l.Server, int64(l.For / time.Second), l.Lost, l.Withheld}
}

// Name returns the server and its service in the words of people.
func (l *LostServer) Name() string {
	s, err := l.Service.service()
	if err != nil {
		return l.Address.String()
	}
	return fmt.Sprintf("%v of %v", l.Address, s.Key)
}

// LedgerEntry is one verdict.
type LedgerEntry struct {
	Name    string    `json:"name"`
	Class   string    `json:"class"` // one of LedgerClasses
	Count   uint64    `json:"count"` // frames
	Meaning string    `json:"meaning"`
	Advice  string    `json:"advice,omitempty"`
	Last    *Sighting `json:"last,omitempty"` // not of what is sent on
}

// Sighting is the last packet that met a verdict, as it was then: what had been
// translated already is shown translated.
type Sighting struct {
	Clock       int64          `json:"clock_ns"`
	Link        string         `json:"link"`
	Length      int            `json:"length"`             // of the frame, in bytes
	EtherType   uint16         `json:"ether_type"`         // 0: not known
	Protocol    string         `json:"protocol,omitempty"` // tcp, udp, ..., arp or a number; absent for what is neither IPv4 nor ARP
	Source      netip.AddrPort `json:"source,omitzero"`    // port 0: none
	Destination netip.AddrPort `json:"destination,omitzero"`
	ICMPType    *int           `json:"icmp_type,omitempty"`
	ICMPCode    *int           `json:"icmp_code,omitempty"`
}

// LedgerClasses returns the classes of verdicts, in order.
func LedgerClasses() []string {
	return []string{"forwarded", "routed", "answered", "passed", "held", "dropped"}
}

// Sum returns the frames of a class.
func (l *Ledger) Sum(class string) (n uint64) {
	if class == "held" {
		n = l.HandingOver
	}
	for i := range l.Verdicts {
		if l.Verdicts[i].Class == class {
			n += l.Verdicts[i].Count
		}
	}
	return n
}

// Balance returns an error when the classes do not sum up to what was received.
func (l *Ledger) Balance() error {
	sum := uint64(0)
	for _, class := range LedgerClasses() {
		sum += l.Sum(class)
	}
	if sum != l.Received {
		return fmt.Errorf("%d frames were received, the verdicts count %d: this is a fault of natlb, please report it", l.Received, sum)
	}
	return nil
}

type ledgerReply struct {
	header
	Ledger
}

// Ledger returns what became of every frame received.
func (c *Client) Ledger(ctx context.Context) (*Ledger, error) {
	var reply ledgerReply
	err := c.get(ctx, "/v1/ledger", &reply)
	return &reply.Ledger, err
}
