package conntrack

// Direction says which side of a connection sent a packet.
type Direction uint8

// Directions: In is client to server, Out is server to client.
const (
	In Direction = iota
	Out
)

// TCP flag bits of the header's 14th byte (RFC 9293 section 3.1).
const (
	FlagFIN = 0x01
	FlagSYN = 0x02
	FlagRST = 0x04
	FlagACK = 0x10
)

// The events of the state tables, in the order of their rows.
const (
	eventSYN = iota
	eventFIN
	eventACK
	eventRST
	tcpEvents
)

// The tables of semantics 4.1 (ip_vs_proto_tcp.c), a row an event, a column a
// current state in the order of the State numbers.
type tcpTable [tcpEvents][tcpStates]State

const (
	no = TCPNone
	es = TCPEstablished
	ss = TCPSynSent
	sr = TCPSynRecv
	fw = TCPFinWait
	tw = TCPTimeWait
	cl = TCPClose
	cw = TCPCloseWait
	la = TCPLastAck
	li = TCPListen
	sa = TCPSynAck
)

// tcpNormal and tcpSecure hold INPUT, OUTPUT and INPUT_ONLY.
var (
	tcpNormal = [3]tcpTable{
		{ // INPUT
			//  NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
			{sr, es, es, sr, sr, sr, sr, sr, sr, sr, sr}, // syn
			{cl, cw, ss, tw, tw, tw, cl, cw, la, li, tw}, // fin
			{es, es, ss, es, fw, tw, cl, cw, cl, li, es}, // ack
			{cl, cl, cl, sr, cl, cl, cl, cl, la, li, sr}, // rst
		},
		{ // OUTPUT
			{ss, es, ss, sr, ss, ss, ss, ss, ss, li, sr},
			{tw, fw, ss, tw, fw, tw, cl, tw, la, li, tw},
			{es, es, ss, es, fw, tw, cl, cw, la, es, es},
			{cl, cl, ss, cl, cl, tw, cl, cl, cl, cl, cl},
		},
		{ // INPUT_ONLY
			{sr, es, es, sr, sr, sr, sr, sr, sr, sr, sr},
			{cl, fw, ss, tw, fw, tw, cl, cw, la, li, tw},
			{es, es, ss, es, fw, tw, cl, cw, cl, li, es},
			{cl, cl, cl, sr, cl, cl, cl, cl, la, li, cl},
		},
	}
	tcpSecure = [3]tcpTable{
		{ // INPUT
			{sr, es, es, sr, sr, sr, sr, sr, sr, sr, sa},
			{cl, cw, ss, tw, tw, tw, cl, cw, la, li, sa},
			{es, es, ss, sr, fw, tw, cl, cw, cl, li, sa},
			{cl, cl, cl, sr, cl, cl, cl, cl, la, li, cl},
		},
		{ // OUTPUT
			{ss, es, ss, sa, ss, ss, ss, ss, ss, li, sa},
			{tw, fw, ss, tw, fw, tw, cl, tw, la, li, tw},
			{es, es, ss, es, fw, tw, cl, cw, la, es, es},
			{cl, cl, ss, cl, cl, tw, cl, cl, cl, cl, cl},
		},
		{ // INPUT_ONLY
			{sa, es, es, sr, sa, sa, sa, sa, sa, sa, sa},
			{cl, fw, ss, tw, fw, tw, cl, cw, la, li, tw},
			{es, es, ss, es, fw, tw, cl, cw, cl, li, es},
			{cl, cl, cl, sr, cl, cl, cl, cl, la, li, cl},
		},
	}
)

// inputOnly is the index of the third table.
const inputOnly = 2

// Move says how a transition changes the place where a connection is counted.
type Move int8

// Moves between the active and the inactive count of a real server.
const (
	Stay Move = iota
	Activated
	Deactivated
)

// StepTCP moves c by one packet: dir is where it came from, flags its TCP
// flags, secure whether the secure_tcp tables are in force. It sets the state,
// the timeout of the new state and the counting flag, clears NoOutput for a
// packet of the server, and reports how the server's counts change.
func (c *Conn) StepTCP(dir Direction, flags uint8, secure bool, timeouts *Timeouts) Move {
	table := int(dir)
	if dir == Out {
		c.Flags &^= NoOutput
	} else if c.Flags&NoOutput != 0 {
		table = inputOnly
	}
	if next := nextTCP(secure, table, flags, c.State); next != c.State {
		c.State = next
		c.Flags &^= Reset
		if next == TCPClose && flags&FlagRST != 0 {
			c.Flags |= Reset
		}
	}
	c.Timeout = timeouts.TCP[c.State]
	return c.count(tcpActive[c.State])
}

// count makes the counting flag fit, and reports how the server's counts change.
func (c *Conn) count(active bool) Move {
	switch counted := c.Flags&Inactive == 0; {
	case active && !counted:
		c.Flags &^= Inactive
		return Activated
	case !active && counted:
		c.Flags |= Inactive
		return Deactivated
	}
	return Stay
}

// StepUDP re-arms c for a packet of either side; UDP has one state and is never
// active (semantics 4.3).
func (c *Conn) StepUDP(dir Direction, timeouts *Timeouts) {
	if dir == Out {
		c.Flags = c.Flags&^NoOutput | Answered
	}
	c.Timeout = timeouts.UDP
}

func nextTCP(secure bool, table int, flags uint8, s State) State {
	var event int
	switch {
	case flags&FlagRST != 0:
		event = eventRST
	case flags&FlagSYN != 0:
		event = eventSYN
	case flags&FlagFIN != 0:
		event = eventFIN
	case flags&FlagACK != 0:
		event = eventACK
	default:
		return TCPClose
	}
	if secure {
		return tcpSecure[table][event][s]
	}
	return tcpNormal[table][event][s]
}

// Listen puts a TCP connection that has only been announced, or is announced
// anew, into the state in which it waits for either side's SYN, and reports how
// the server's counts change (ip_vs_tcp_conn_listen).
func (c *Conn) Listen(timeouts *Timeouts) Move {
	c.State = TCPListen
	c.Flags &^= Reset
	c.Timeout = timeouts.TCP[TCPListen]
	if c.Flags&Inactive != 0 {
		return Stay
	}
	c.Flags |= Inactive
	return Deactivated
}
