package conntrack

import (
	"strings"
	"testing"
	"time"

	"natlb/ipvs"
)

// The tables of semantics 4.2, as its text has them.
const (
	sctpColumns = "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"

	sctpInput = `
		data              ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
		init              I1 IN IN CS CR CW CO CE ES SS SR SA IN IN
		init-ack          CW CW CW CS CR CO CO CE ES SS SR SA RJ CL
		cookie-echo       CR IN IN CR CR CW CO CE ES SS SR SA RJ CL
		cookie-ack        ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL
		shutdown          SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
		shutdown-ack      CL IN IN CS CR CW CO CE ES CL SR CL RJ CL
		shutdown-complete CL CL CL CS CR CW CO CE ES SS SR CL RJ CL
		error             CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL
		abort             CL CL CL CL CL RJ CL CL CL CL CL CL CL CL`
	sctpOutput = `
		data              ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
		init              CW CW CW CW CW CW CW CW ES CW CW CW CW CW
		init-ack          CS CS CS CS CR CW CO CE ES SS SR SA RJ CL
		cookie-echo       CE CE CE CE CE CE CE CE ES SS SR SA RJ CL
		cookie-ack        ES ES ES ES ES ES ES ES ES SS SR SA RJ CL
		shutdown          SS SS SS SS SS SS SS SS SS SS SR SA RJ CL
		shutdown-ack      SA SA SA SA SA CW CO CE ES SA SA SA RJ CL
		shutdown-complete CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
		error             CL CL CL CL CL CW CO CE ES SS SR SA RJ CL
		abort             CL RJ CL CL CL CL CL CL CL CL CL CL CL CL`
	sctpInputOnly = `
		data              ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL
		init              I1 IN IN IN IN IN CO CE ES SS SR SA IN IN
		init-ack          CE CE CE CE CE CE CO CE ES SS SR SA RJ CL
		cookie-echo       ES ES ES ES ES ES CO CE ES SS SR SA RJ CL
		cookie-ack        ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL
		shutdown          SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
		shutdown-ack      CL IN IN CS CR CW CO CE CL CL SR CL RJ CL
		shutdown-complete CL CL CL CL CL CW CO CE ES SS CL CL RJ CL
		error             CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
		abort             CL CL CL CL CL RJ CL CL CL CL CL CL CL CL`
)

// sctpFacts is the table of states of semantics 4.2, in their order.
var sctpFacts = []struct {
	short, name string
	seconds     int
}{
	{"NO", "NONE", 2}, {"I1", "INIT1", 4}, {"IN", "INIT", 61}, {"CS", "C-SENT", 61}, {"CR", "C-REPLIED", 61},
	{"CW", "C-WAIT", 61}, {"CO", "COOKIE", 61}, {"CE", "C-ECHOED", 61}, {"ES", "ESTABLISHED", 900}, {"SS", "S-SENT", 61},
	{"SR", "S-RECEIVED", 61}, {"SA", "S-ACK-SENT", 61}, {"RJ", "REJECTED", 4}, {"CL", "CLOSED", 61},
}

// eventChunks are the chunk types (RFC 9260 section 3.2) that are each event.
var eventChunks = map[string][]int16{
	"data": {0, 3, 4, 5, 12, 13, 15, 63, 64, 128, 192, 255}, "init": {1}, "init-ack": {2}, "abort": {6}, "shutdown": {7},
	"shutdown-ack": {8}, "error": {9}, "cookie-echo": {10}, "cookie-ack": {11}, "shutdown-complete": {14},
}

func sctpState(t *testing.T, short string) State {
	t.Helper()
	for i, f := range sctpFacts {
		if f.short == short {
			return State(i)
		}
	}
	t.Fatalf("no state %q", short)
	return 0
}

func TestSCTPTables(t *testing.T) {
	for _, table := range []struct {
		name, text string
		dir        Direction
		only       bool // NOOUTPUT is set
	}{
		{"INPUT", sctpInput, In, false},
		{"OUTPUT", sctpOutput, Out, false},
		{"OUTPUT of a connection without output so far", sctpOutput, Out, true},
		{"INPUT_ONLY", sctpInputOnly, In, true},
	} {
		t.Run(table.name, func(t *testing.T) {
			cells := 0
			for line := range strings.Lines(strings.TrimSpace(table.text)) {
				words := strings.Fields(line)
				for i, from := range strings.Fields(sctpColumns) {
					for _, chunk := range eventChunks[words[0]] {
						checkSCTPStep(t, sctpState(t, from), sctpState(t, words[i+1]), table.dir, chunk, table.only)
						cells++
					}
				}
			}
			if cells != 14*(12+9) {
				t.Errorf("%d cells tried, the table in the test is not whole", cells)
			}
		})
	}
}

// checkSCTPStep takes an association by one packet, whether it is counted as its
// state says or not.
func checkSCTPStep(t *testing.T, from, to State, dir Direction, chunk int16, only bool) {
	t.Helper()
	timeouts := NewTimeouts(ipvs.Timeouts{TCP: 7, TCPFin: 8, UDP: 9}) // none of them is SCTP's
	for _, counted := range []bool{false, true} {
		c := Conn{State: from, Proto: 132, Flags: Inactive}
		if counted {
			c.Flags = 0
		}
		if only {
			c.Flags |= NoOutput
		}
		want, wantMove := c, Stay
		want.State, want.Timeout = to, time.Duration(sctpFacts[to].seconds)*time.Second
		switch {
		case counted && to != SCTPEstablished:
			want.Flags, wantMove = want.Flags|Inactive, Deactivated
		case !counted && to == SCTPEstablished:
			want.Flags, wantMove = want.Flags&^Inactive, Activated
		}
		if dir == Out {
			want.Flags &^= NoOutput
		}
		if from != to && chunk == 6 {
			want.Flags |= Reset
		}
		if move := c.StepSCTP(dir, chunk, &timeouts); c != want || move != wantMove {
			t.Errorf("%s, chunk %d from %v: %+v and move %d, want %+v and %d", sctpFacts[from].name, chunk, dir, c, move, want, wantMove)
		}
	}
}

// TestSCTPNoChunk: a packet without a chunk moves nothing.
func TestSCTPNoChunk(t *testing.T) {
	timeouts := NewTimeouts(ipvs.Timeouts{})
	for i := range sctpFacts {
		c := Conn{State: State(i), Proto: 132, Flags: Inactive, Timeout: 5 * time.Second}
		want := c
		if move := c.StepSCTP(In, -1, &timeouts); c != want || move != Stay {
			t.Errorf("a packet without a chunk in %s: %+v and move %d, want %+v", sctpFacts[i].name, c, move, want)
		}
	}
}

// TestSCTPReset: an ABORT is remembered as the end of an association, until its
// ports are used again.
func TestSCTPReset(t *testing.T) {
	timeouts := NewTimeouts(ipvs.Timeouts{})
	c := Conn{State: SCTPEstablished, Proto: 132}
	c.StepSCTP(Out, 6, &timeouts)
	c.StepSCTP(In, 6, &timeouts)
	if c.State != SCTPClosed || !c.Is(Reset) {
		t.Errorf("after two ABORTs: %+v, want CLOSED by a reset", c)
	}
	if c.StepSCTP(In, 1, &timeouts); c.State != SCTPInit || c.Is(Reset) {
		t.Errorf("after an INIT more: %+v, want INIT and no reset", c)
	}
}

func TestSCTPStateNames(t *testing.T) {
	for i, f := range sctpFacts {
		if got := StateName(132, State(i), false); got != f.name {
			t.Errorf("StateName(SCTP, %d) = %q, want %q", i, got, f.name)
		}
	}
	if got := StateName(132, State(sctpStates), false); got != "NONE" {
		t.Errorf("StateName(SCTP, %d) = %q, want NONE", sctpStates, got)
	}
}

// TestSCTPEviction: in a full table an association that nothing has proven goes
// first, a finished one next, an established one never.
func TestSCTPEviction(t *testing.T) {
	table := NewTable(Config{Max: 3})
	for i, s := range []State{SCTPEstablished, SCTPClosed, SCTPCookieSent} {
		key := keyNumber(i)
		key.Proto = 132
		table.At(table.Insert(&key, 0)).State = s
	}
	for _, left := range []int{2, 1} {
		if !table.Evict() || table.Len() != left {
			t.Fatalf("%d entries after an eviction, want %d", table.Len(), left)
		}
		for _, c := range table.All {
			if left == 2 && c.State == SCTPCookieSent || left == 1 && c.State != SCTPEstablished {
				t.Errorf("%d left, one of them in state %d", left, c.State)
			}
		}
	}
	if table.Evict() {
		t.Error("an established association was evicted")
	}
}
