package conntrack

import (
	"time"

	"natlb/ipvs"
)

// State is a protocol state of a connection. Its meaning depends on the
// protocol of the entry; see [StateName].
type State uint8

// TCP states, with the numbers of sync messages (semantics 4.1).
const (
	TCPNone State = iota
	TCPEstablished
	TCPSynSent
	TCPSynRecv
	TCPFinWait
	TCPTimeWait
	TCPClose
	TCPCloseWait
	TCPLastAck
	TCPListen
	TCPSynAck
	tcpStates = int(iota)
)

// Template states. UDP has the one state 0.
const (
	TemplateNone    State = 0
	TemplateAssured State = 1
)

var tcpNames = [tcpStates]string{
	"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT",
	"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK",
}

// tcpActive says which TCP states count as active connections: the established
// and the half-open ones (semantics 3.5).
var tcpActive = [tcpStates]bool{
	TCPEstablished: true, TCPSynSent: true, TCPSynRecv: true, TCPSynAck: true,
}

// StateName returns the name that a listing shows for an entry of protocol
// proto in state s.
func StateName(proto uint8, s State, template bool) string {
	switch {
	case template && s == TemplateAssured:
		return "ASSURED"
	case template:
		return "NONE"
	case ipvs.Protocol(proto) == ipvs.TCP && int(s) < tcpStates:
		return tcpNames[s]
	case ipvs.Protocol(proto) == ipvs.SCTP && int(s) < sctpStates:
		return sctpNames[s]
	case ipvs.Protocol(proto) == ipvs.UDP:
		return "UDP"
	}
	return "NONE"
}

// HalfOpen reports whether a TCP entry in state s has not finished its
// handshake.
func (s State) HalfOpen() bool { return s == TCPSynRecv || s == TCPSynSent || s == TCPSynAck }

// InitialTimeout is the life of an entry before its first state transition, and
// ControlTimeout what an entry gets that fires while it controls others
// (semantics 3.4).
const (
	InitialTimeout = 3 * time.Second
	ControlTimeout = 60 * time.Second
)

// Timeouts holds the timeout of every state. It is a plain value: copy it to
// change it.
type Timeouts struct {
	TCP  [tcpStates]time.Duration
	SCTP [sctpStates]time.Duration
	UDP  time.Duration
}

// NewTimeouts returns the kernel's timeouts (semantics 4.1-4.3) with the three
// settable ones taken from t; a 0 there keeps the default.
func NewTimeouts(t ipvs.Timeouts) Timeouts {
	seconds := [tcpStates]uint32{
		TCPNone: 2, TCPEstablished: ipvs.DefaultTimeouts.TCP, TCPSynSent: 120, TCPSynRecv: 60,
		TCPFinWait: ipvs.DefaultTimeouts.TCPFin, TCPTimeWait: 120, TCPClose: 10, TCPCloseWait: 60,
		TCPLastAck: 30, TCPListen: 120, TCPSynAck: 120,
	}
	udp := ipvs.DefaultTimeouts.UDP
	if t.TCP != 0 {
		seconds[TCPEstablished] = t.TCP
	}
	if t.TCPFin != 0 {
		seconds[TCPFinWait] = t.TCPFin
	}
	if t.UDP != 0 {
		udp = t.UDP
	}
	out := Timeouts{UDP: time.Duration(udp) * time.Second}
	for i, s := range seconds {
		out.TCP[i] = time.Duration(s) * time.Second
	}
	for i, s := range sctpSeconds {
		out.SCTP[i] = time.Duration(s) * time.Second
	}
	return out
}
