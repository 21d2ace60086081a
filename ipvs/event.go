package ipvs

import (
	"net/netip"
	"time"
)

// EventKind names what an [Event] tells.
type EventKind uint8

// Events. A director tells of the first group, and of EventConfig, only while
// somebody follows it.
const (
	EventBorn  EventKind = iota + 1 // a connection or a persistence template was made
	EventState                      // it has changed its state
	EventDied                       // it has ended

	EventServerUp         // a server takes new connections: added, or its weight is above 0 again
	EventServerQuiesced   // its weight became 0
	EventServerDown       // it was deleted
	EventServerOverloaded // it has reached its upper threshold
	EventServerRecovered  // and takes new connections again

	EventServerUnreachable // the host has found no way to a server, or its next hop does not answer
	EventServerReachable   // and now it has, or does

	EventConfig      // one change of a transaction was carried out
	EventLocalServer // a server was given an address of the host, and cannot be reached there
	EventVIPConflict // another machine on the link claims a VIP
	EventLink        // a link has a fault, or is gone

	EventGap // events were lost, because there were more than could be told
)

var eventWords = [...]string{
	EventBorn: "born", EventState: "state", EventDied: "died",
	EventServerUp: "server-up", EventServerQuiesced: "server-quiesced", EventServerDown: "server-down",
	EventServerOverloaded: "server-overloaded", EventServerRecovered: "server-recovered",
	EventServerUnreachable: "server-unreachable", EventServerReachable: "server-reachable",
	EventConfig: "config", EventLocalServer: "local-server", EventVIPConflict: "vip-conflict", EventLink: "link",
	EventGap: "gap",
}

// String returns the event's word, as listings and the control socket have it.
func (k EventKind) String() string {
	if int(k) < len(eventWords) {
		return eventWords[k]
	}
	return "unknown"
}

// Connection reports whether the event is about a connection or a template.
func (k EventKind) Connection() bool { return k >= EventBorn && k <= EventDied }

// EventKinds returns all kinds in their order.
func EventKinds() []EventKind {
	kinds := make([]EventKind, 0, len(eventWords)-1)
	for k := EventBorn; int(k) < len(eventWords); k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// Reason says why a connection ended, or what changed its state.
type Reason uint8

// Reasons. Those of an end come first; the others are what a packet that
// changed the state was.
const (
	NoReason      Reason = iota
	Expired              // its time was up
	ResetExpired         // the same, after one side had reset it
	Reused               // a new SYN of its client took its place
	Evicted              // the table was full
	ServerGone           // its server was deleted (expire_nodest_conn)
	NoDestination        // its client's next packet found no server
	Defended             // the defence drop_entry
	OnePacketEnd         // of a one-packet service: it was for one datagram
	Broken               // its template was taken away from its server (natlb drain)

	GotSYN   // a SYN, with or without ACK
	GotFIN   // a FIN
	GotRST   // a RST
	GotACK   // any other segment with ACK
	GotNone  // a segment without any of these flags
	Awaited  // a data connection was announced
	Answered // a template's connection got through

	GotInit // chunks of SCTP
	GotInitAck
	GotCookieEcho
	GotCookieAck
	GotShutdown
	GotShutdownAck
	GotShutdownComplete
	GotError
	GotAbort
	GotData // any other
)

var reasonWords = [...]string{
	NoReason: "", Expired: "expired", ResetExpired: "reset", Reused: "reused", Evicted: "evicted",
	ServerGone: "server-gone", NoDestination: "no-destination", Defended: "drop-entry", OnePacketEnd: "one-packet", Broken: "broken",
	GotSYN: "syn", GotFIN: "fin", GotRST: "rst", GotACK: "ack", GotNone: "no-flags",
	Awaited: "announced", Answered: "assured",
	GotInit: "init", GotInitAck: "init-ack", GotCookieEcho: "cookie-echo", GotCookieAck: "cookie-ack", GotShutdown: "shutdown",
	GotShutdownAck: "shutdown-ack", GotShutdownComplete: "shutdown-complete", GotError: "error", GotAbort: "abort", GotData: "data",
}

// Reasons returns all reasons but NoReason in their order.
func Reasons() []Reason {
	all := make([]Reason, 0, len(reasonWords)-1)
	for r := Expired; int(r) < len(reasonWords); r++ {
		all = append(all, r)
	}
	return all
}

// String returns the reason's word, "" for none.
func (r Reason) String() string {
	if int(r) < len(reasonWords) {
		return reasonWords[r]
	}
	return "unknown"
}

// Event is something that has happened in a director. Which fields mean
// something depends on the kind; the others are zero.
type Event struct {
	Kind EventKind
	At   time.Duration // on the director's clock

	Service ServiceKey     // of the connection or the server, or that a change is about
	Server  netip.AddrPort // RIP:RPort of a connection; a server as it is configured

	// Of connections and templates.
	Proto      Protocol
	Client     netip.AddrPort // port 0 for a template
	Virtual    netip.AddrPort
	Source     netip.AddrPort // by FullNAT what the server sees in the client's place; else not valid
	State      string         // after the event: the name that listings show
	Before     string         // EventState: the state before
	Reason     Reason
	FromServer bool   // EventState: the packet was the server's
	Packets    uint32 // of the client so far, wraps
	Mark       uint32
	Template   bool

	Change       ChangeKind    // EventConfig
	Weight       int32         // server events, and changes of a server: now, as configured
	WeightBefore int32         // EventServerQuiesced, EventServerUp: before; 0 for a new server
	Method       ForwardMethod // EventLocalServer
	Withheld     bool          // EventServerUnreachable: it takes no new connection until it can be reached
	Name         string        // EventConfig: of a setting
	Value        string        // and what it was set to
	VIP          netip.Addr    // EventVIPConflict
	MAC          [6]byte       // EventVIPConflict: of the other machine
	Link         string        // EventVIPConflict, EventLink
	Err          error         // EventLink
	Lost         uint64        // EventGap: how many
}
