package conntrack

import "natlb/rewrite"

// SCTP states, with the numbers of sync messages (semantics 4.2).
const (
	SCTPNone State = iota
	SCTPInit1
	SCTPInit
	SCTPCookieSent
	SCTPCookieReplied
	SCTPCookieWait
	SCTPCookie
	SCTPCookieEchoed
	SCTPEstablished
	SCTPShutdownSent
	SCTPShutdownReceived
	SCTPShutdownAckSent
	SCTPRejected
	SCTPClosed
	sctpStates = int(iota)
)

// In the names C stands for cookie, S for shutdown.
var sctpNames = [sctpStates]string{
	"NONE", "INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE", "C-ECHOED",
	"ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED",
}

// sctpSeconds are the timeouts of the states. None can be set.
var sctpSeconds = [sctpStates]uint32{
	SCTPNone: 2, SCTPInit1: 4, SCTPInit: 61, SCTPCookieSent: 61, SCTPCookieReplied: 61, SCTPCookieWait: 61,
	SCTPCookie: 61, SCTPCookieEchoed: 61, SCTPEstablished: 900, SCTPShutdownSent: 61, SCTPShutdownReceived: 61,
	SCTPShutdownAckSent: 61, SCTPRejected: 4, SCTPClosed: 61,
}

// The rows of the state tables.
const (
	sctpData = iota
	sctpInit
	sctpInitAck
	sctpCookieEcho
	sctpCookieAck
	sctpShutdown
	sctpShutdownAck
	sctpShutdownComplete
	sctpError
	sctpAbort
	sctpEvents
)

// sctpChunks are the events of the chunk types; all others count as data.
var sctpChunks = [15]uint8{
	rewrite.ChunkInit: sctpInit, rewrite.ChunkInitAck: sctpInitAck, rewrite.ChunkAbort: sctpAbort,
	rewrite.ChunkShutdown: sctpShutdown, rewrite.ChunkShutdownAck: sctpShutdownAck, rewrite.ChunkError: sctpError,
	rewrite.ChunkCookieEcho: sctpCookieEcho, rewrite.ChunkCookieAck: sctpCookieAck, rewrite.ChunkShutdownComplete: sctpShutdownComplete,
}

const (
	sNO = SCTPNone
	sI1 = SCTPInit1
	sIN = SCTPInit
	sCS = SCTPCookieSent
	sCR = SCTPCookieReplied
	sCW = SCTPCookieWait
	sCO = SCTPCookie
	sCE = SCTPCookieEchoed
	sES = SCTPEstablished
	sSS = SCTPShutdownSent
	sSR = SCTPShutdownReceived
	sSA = SCTPShutdownAckSent
	sRJ = SCTPRejected
	sCL = SCTPClosed
)

// sctpTables hold INPUT, OUTPUT and INPUT_ONLY of semantics 4.2
// (ip_vs_proto_sctp.c): a row an event, a column a current state in the order of
// the State numbers.
var sctpTables = [3][sctpEvents][sctpStates]State{
	{ // INPUT
		// NO   I1   IN   CS   CR   CW   CO   CE   ES   SS   SR   SA   RJ   CL
		{sES, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL}, // data
		{sI1, sIN, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sIN, sIN}, // init
		{sCW, sCW, sCW, sCS, sCR, sCO, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL}, // init ack
		{sCR, sIN, sIN, sCR, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL}, // cookie echo
		{sES, sI1, sIN, sCS, sCR, sCW, sCO, sES, sES, sSS, sSR, sSA, sRJ, sCL}, // cookie ack
		{sSR, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sSR, sSS, sSR, sSA, sRJ, sCL}, // shutdown
		{sCL, sIN, sIN, sCS, sCR, sCW, sCO, sCE, sES, sCL, sSR, sCL, sRJ, sCL}, // shutdown ack
		{sCL, sCL, sCL, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sCL, sRJ, sCL}, // shutdown complete
		{sCL, sI1, sIN, sCS, sCR, sCW, sCO, sCL, sES, sSS, sSR, sSA, sRJ, sCL}, // error
		{sCL, sCL, sCL, sCL, sCL, sRJ, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL}, // abort
	},
	{ // OUTPUT
		{sES, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sCW, sCW, sCW, sCW, sCW, sCW, sCW, sCW, sES, sCW, sCW, sCW, sCW, sCW},
		{sCS, sCS, sCS, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sCE, sCE, sCE, sCE, sCE, sCE, sCE, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sES, sES, sES, sES, sES, sES, sES, sES, sES, sSS, sSR, sSA, sRJ, sCL},
		{sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSS, sSR, sSA, sRJ, sCL},
		{sSA, sSA, sSA, sSA, sSA, sCW, sCO, sCE, sES, sSA, sSA, sSA, sRJ, sCL},
		{sCL, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sCL, sCL, sCL, sCL, sCL, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sCL, sRJ, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
	},
	{ // INPUT_ONLY
		{sES, sI1, sIN, sCS, sCR, sES, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sI1, sIN, sIN, sIN, sIN, sIN, sCO, sCE, sES, sSS, sSR, sSA, sIN, sIN},
		{sCE, sCE, sCE, sCE, sCE, sCE, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sES, sES, sES, sES, sES, sES, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sES, sI1, sIN, sES, sES, sCW, sES, sES, sES, sSS, sSR, sSA, sRJ, sCL},
		{sSR, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sSR, sSS, sSR, sSA, sRJ, sCL},
		{sCL, sIN, sIN, sCS, sCR, sCW, sCO, sCE, sCL, sCL, sSR, sCL, sRJ, sCL},
		{sCL, sCL, sCL, sCL, sCL, sCW, sCO, sCE, sES, sSS, sCL, sCL, sRJ, sCL},
		{sCL, sI1, sIN, sCS, sCR, sCW, sCO, sCE, sES, sSS, sSR, sSA, sRJ, sCL},
		{sCL, sCL, sCL, sCL, sCL, sRJ, sCL, sCL, sCL, sCL, sCL, sCL, sCL, sCL},
	},
}

// StepSCTP moves c by one packet, as StepTCP does: chunk is the type of the chunk
// that counts, negative for a packet without any, which changes nothing. Only
// ESTABLISHED is active.
func (c *Conn) StepSCTP(dir Direction, chunk int16, timeouts *Timeouts) Move {
	if chunk < 0 {
		return Stay
	}
	table := int(dir)
	if dir == Out {
		c.Flags &^= NoOutput
	} else if c.Flags&NoOutput != 0 {
		table = inputOnly
	}
	event := uint8(sctpData)
	if int(chunk) < len(sctpChunks) {
		event = sctpChunks[chunk]
	}
	if next := sctpTables[table][event][c.State]; next != c.State {
		c.State = next
		c.Flags &^= Reset
		if event == sctpAbort {
			c.Flags |= Reset
		}
	}
	c.Timeout = timeouts.SCTP[c.State]
	return c.count(c.State == SCTPEstablished)
}
