package replay

import (
	"fmt"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// Schema is the version of a Result in JSON.
const Schema = 1

// Result is what a replay has shown. In JSON, names and units are those of the
// control socket, and times whole nanoseconds since the first packet.
type Result struct {
	Schema   int            `json:"schema"`
	Started  string         `json:"started"` // time of the first packet, RFC 3339; empty without packets
	Duration time.Duration  `json:"duration_ns"`
	Inputs   []InputResult  `json:"inputs"`
	Packets  PacketCounts   `json:"packets"`
	Verdicts []VerdictCount `json:"verdicts"` // of the packets received; those that are not 0
	Services []ServiceShare `json:"services"`

	// Connections in order of their beginning, persistence templates among
	// them: the first ones, see Config.Keep. Total counts connections only, and
	// Left those, templates too, that are not among them.
	Connections []*Conn `json:"connections"`
	Total       uint64  `json:"connections_total"`
	Left        uint64  `json:"connections_left_out"`
	LostEvents  uint64  `json:"events_lost"` // then ends and states may be missing
}

// InputResult is what was read from one capture.
type InputResult struct {
	File    string `json:"file"`
	Side    string `json:"side"`
	Packets uint64 `json:"packets"`
	Own     uint64 `json:"own"` // of these the recorded director's own
	Bytes   uint64 `json:"bytes"`
	Cut     bool   `json:"cut,omitempty"` // the file ends inside a packet
}

// PacketCounts are numbers of packets, and of bytes with all headers.
type PacketCounts struct {
	Read      uint64 `json:"read"`
	Own       uint64 `json:"own"`      // of these the recorded director's own, which were not played
	Received  uint64 `json:"received"` // the others: each has a verdict
	Short     uint64 `json:"short"`    // captured short
	Lost      uint64 `json:"lost"`     // of these without all headers: nothing could be made of them
	Late      uint64 `json:"late"`     // older than the packet before
	Bytes     uint64 `json:"bytes"`    // read, as long as they were on the wire
	Sent      uint64 `json:"sent"`     // by the replayed director
	SentBytes uint64 `json:"sent_bytes"`
}

// VerdictCount is one verdict's counter.
type VerdictCount struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// ServiceShare says how a service spread its connections.
type ServiceShare struct {
	Key       ipvs.ServiceKey `json:"-"`
	Protocol  string          `json:"protocol,omitempty"` // absent with a mark
	Address   netip.AddrPort  `json:"address,omitzero"`
	Mark      uint32          `json:"mark,omitempty"`
	Scheduler string          `json:"scheduler"`
	Stats     ipvs.Stats      `json:"stats"`
	Servers   []ServerShare   `json:"destinations"` // newest first, as the schedulers see them
}

// ServerShare is a real server's part of a service.
type ServerShare struct {
	Address  netip.AddrPort `json:"address"`
	Weight   int32          `json:"weight"`
	Active   int32          `json:"active"` // at the end
	Inactive int32          `json:"inactive"`
	Stats    ipvs.Stats     `json:"stats"`
}

// ErrLedger is a fault of natlb itself: packets without a verdict, or with two.
type ErrLedger struct{ Received, Counted uint64 }

// Error says by how much the ledger is out.
func (e *ErrLedger) Error() string {
	return fmt.Sprintf("%d packets were received, the verdicts count %d: this is a fault of natlb, please report it", e.Received, e.Counted)
}

// result adds everything up. The ledger is checked: every packet received has
// one verdict.
func (p *player) result() (*Result, error) {
	r := &Result{
		Schema: Schema, Duration: time.Duration(p.last - p.first), Packets: p.counts,
		Inputs: []InputResult{}, Verdicts: []VerdictCount{}, Services: []ServiceShare{},
		Total: p.book.total, LostEvents: p.book.lost,
	}
	if p.counts.Read > 0 {
		r.Started = time.Unix(0, p.first).UTC().Format(time.RFC3339Nano)
	}
	for _, in := range p.inputs {
		r.Inputs = append(r.Inputs, InputResult{in.Name, in.Side.String(), in.packets, in.own, in.bytes, in.cut})
	}
	sum := uint64(0)
	for _, c := range p.dir.Counters() {
		if sum += c.Frames; c.Frames > 0 {
			r.Verdicts = append(r.Verdicts, VerdictCount{c.Verdict.String(), c.Frames})
		}
	}
	if sum != p.counts.Received || p.counts.Received+p.counts.Own != p.counts.Read {
		return nil, &ErrLedger{p.counts.Received, sum}
	}
	for _, s := range p.dir.Services() {
		r.Services = append(r.Services, shareOf(&s))
	}
	r.Connections, r.Left = p.book.all()
	return r, nil
}

func shareOf(s *ipvs.ServiceStatus) ServiceShare {
	share := ServiceShare{
		Key: s.Key, Address: s.Key.VIP, Mark: s.Key.Mark,
		Scheduler: s.Scheduler, Stats: s.Stats, Servers: []ServerShare{},
	}
	if !s.Key.IsMark() {
		share.Protocol = protocolWord(s.Key.Proto)
	}
	for i := range s.Destinations {
		d := &s.Destinations[i]
		share.Servers = append(share.Servers, ServerShare{d.Addr, d.Weight, d.Active, d.Inactive, d.Stats})
	}
	return share
}
