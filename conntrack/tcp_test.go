package conntrack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"natlb/ipvs"
)

// The tables of semantics 4.1, as its text has them.
const (
	columns = "NO ES SS SR FW TW CL CW LA LI SA"

	normalInput = `
		syn SR ES ES SR SR SR SR SR SR SR SR
		fin CL CW SS TW TW TW CL CW LA LI TW
		ack ES ES SS ES FW TW CL CW CL LI ES
		rst CL CL CL SR CL CL CL CL LA LI SR`
	normalOutput = `
		syn SS ES SS SR SS SS SS SS SS LI SR
		fin TW FW SS TW FW TW CL TW LA LI TW
		ack ES ES SS ES FW TW CL CW LA ES ES
		rst CL CL SS CL CL TW CL CL CL CL CL`
	normalInputOnly = `
		syn SR ES ES SR SR SR SR SR SR SR SR
		fin CL FW SS TW FW TW CL CW LA LI TW
		ack ES ES SS ES FW TW CL CW CL LI ES
		rst CL CL CL SR CL CL CL CL LA LI CL`
	secureInput = `
		syn SR ES ES SR SR SR SR SR SR SR SA
		fin CL CW SS TW TW TW CL CW LA LI SA
		ack ES ES SS SR FW TW CL CW CL LI SA
		rst CL CL CL SR CL CL CL CL LA LI CL`
	secureOutput = `
		syn SS ES SS SA SS SS SS SS SS LI SA
		fin TW FW SS TW FW TW CL TW LA LI TW
		ack ES ES SS ES FW TW CL CW LA ES ES
		rst CL CL SS CL CL TW CL CL CL CL CL`
	secureInputOnly = `
		syn SA ES ES SR SA SA SA SA SA SA SA
		fin CL FW SS TW FW TW CL CW LA LI TW
		ack ES ES SS ES FW TW CL CW CL LI ES
		rst CL CL CL SR CL CL CL CL LA LI CL`
)

// tcpFacts is the table of states of semantics 4.1: number, name, seconds,
// whether active.
var tcpFacts = map[string]struct {
	state   State
	name    string
	seconds int
	active  bool
}{
	"NO": {0, "NONE", 2, false},
	"ES": {1, "ESTABLISHED", 900, true},
	"SS": {2, "SYN_SENT", 120, true},
	"SR": {3, "SYN_RECV", 60, true},
	"FW": {4, "FIN_WAIT", 120, false},
	"TW": {5, "TIME_WAIT", 120, false},
	"CL": {6, "CLOSE", 10, false},
	"CW": {7, "CLOSE_WAIT", 60, false},
	"LA": {8, "LAST_ACK", 30, false},
	"LI": {9, "LISTEN", 120, false},
	"SA": {10, "SYNACK", 120, true},
}

// eventFlags are segments that are each event: the event is the first of RST,
// SYN, FIN, ACK that is set, and nothing else matters.
var eventFlags = map[string][]uint8{
	"rst": {0x04, 0x14, 0x06, 0x17, 0xff},
	"syn": {0x02, 0x12, 0x03, 0x1b, 0xc2},
	"fin": {0x01, 0x11, 0x39},
	"ack": {0x10, 0x18, 0xd0},
}

func TestTCPTables(t *testing.T) {
	for _, table := range []struct {
		name   string
		text   string
		dir    Direction
		only   bool // NOOUTPUT is set
		secure bool
	}{
		{"INPUT", normalInput, In, false, false},
		{"OUTPUT", normalOutput, Out, false, false},
		{"OUTPUT of a connection without output so far", normalOutput, Out, true, false},
		{"INPUT_ONLY", normalInputOnly, In, true, false},
		{"INPUT secure", secureInput, In, false, true},
		{"OUTPUT secure", secureOutput, Out, false, true},
		{"INPUT_ONLY secure", secureInputOnly, In, true, true},
	} {
		t.Run(table.name, func(t *testing.T) {
			cells := 0
			for line := range strings.Lines(strings.TrimSpace(table.text)) {
				words := strings.Fields(line)
				for i, from := range strings.Fields(columns) {
					for _, flags := range eventFlags[words[0]] {
						checkStep(t, from, words[i+1], table.dir, flags, table.only, table.secure)
						cells++
					}
				}
			}
			if cells != 11*(5+5+3+3) {
				t.Errorf("%d cells tried, the table in the test is not whole", cells)
			}
		})
	}
}

// TestTCPNoEvent checks that a segment with none of the four flags closes.
func TestTCPNoEvent(t *testing.T) {
	for from := range tcpFacts {
		for _, flags := range []uint8{0, 0x08, 0x20, 0x28, 0xe8} {
			for _, dir := range []Direction{In, Out} {
				checkStep(t, from, "CL", dir, flags, false, false)
				checkStep(t, from, "CL", dir, flags, true, true)
			}
		}
	}
}

// checkStep takes a connection in state from, counted where that state counts
// and counted where it does not, by one segment.
func checkStep(t *testing.T, from, to string, dir Direction, flags uint8, only, secure bool) {
	t.Helper()
	timeouts := NewTimeouts(ipvs.Timeouts{})
	for _, counted := range []bool{false, true} {
		c := Conn{State: tcpFacts[from].state, Proto: 6}
		if !counted {
			c.Flags |= Inactive
		}
		if only {
			c.Flags |= NoOutput
		}
		move := c.StepTCP(dir, flags, secure, &timeouts)

		want := tcpFacts[to]
		wantMove := Stay
		if want.active != counted {
			wantMove = map[bool]Move{true: Activated, false: Deactivated}[want.active]
		}
		at := fmt.Sprintf("state %s, direction %d, flags %#02x, counted active %v", from, dir, flags, counted)
		if c.State != want.state || c.Timeout != time.Duration(want.seconds)*time.Second {
			t.Errorf("%s: StepTCP goes to %s for %v, want %s for %d s", at, StateName(6, c.State, false), c.Timeout, want.name, want.seconds)
		}
		if move != wantMove || c.Is(Inactive) == want.active {
			t.Errorf("%s: StepTCP to %s = %v with inactive %v, want %v with inactive %v", at, want.name, move, c.Is(Inactive), wantMove, !want.active)
		}
		if c.Is(NoOutput) != (only && dir == In) {
			t.Errorf("%s: NoOutput = %v afterwards", at, c.Is(NoOutput))
		}
		if got := StateName(6, c.State, false); got != want.name {
			t.Errorf("StateName(TCP, %d) = %q, want %q", c.State, got, want.name)
		}
	}
}

// TestTCPLives walks through the vectors of semantics 14.5 and the typical
// lives of 4.1.
func TestTCPLives(t *testing.T) {
	for _, life := range []struct {
		name    string
		only    bool
		secure  bool
		packets string // direction, flags and resulting state of each
	}{
		{name: "NAT, client closes first", packets: "in:S:SR out:SA:SR in:A:ES in:F:CW out:F:TW in:A:TW"},
		{name: "NAT, server closes first", packets: "in:S:SR out:SA:SR in:A:ES out:FA:FW in:FA:TW out:A:TW"},
		{name: "NAT, secure", secure: true, packets: "in:S:SR out:SA:SA in:A:SA in:F:SA out:F:TW"},
		{name: "NAT, secure, established by the server", secure: true, packets: "in:S:SR out:SA:SA in:A:SA out:A:ES"},
		{name: "DR", only: true, packets: "in:S:SR in:A:ES in:F:FW in:A:FW"},
		{name: "DR, secure", only: true, secure: true, packets: "in:S:SA in:A:ES"},
		{name: "reset by the client", packets: "in:S:SR out:SA:SR in:A:ES in:R:CL"},
		{name: "reset by the server", packets: "in:S:SR out:SA:SR in:A:ES out:R:CL"},
		{name: "refused by the server", packets: "in:S:SR out:RA:CL"},
		{name: "reset by the client while half-open is ignored", packets: "in:S:SR in:R:SR"},
		{name: "mid-stream in sloppy mode", packets: "in:A:ES"},
		{name: "SYN on an established connection", packets: "in:S:SR out:SA:SR in:A:ES in:S:ES"},
	} {
		t.Run(life.name, func(t *testing.T) {
			timeouts := NewTimeouts(ipvs.Timeouts{})
			c := Conn{Proto: 6, Flags: Inactive}
			if life.only {
				c.Flags |= NoOutput
			}
			active := false
			for _, step := range strings.Fields(life.packets) {
				w := strings.Split(step, ":")
				dir := map[string]Direction{"in": In, "out": Out}[w[0]]
				var flags uint8
				for _, f := range w[1] {
					flags |= map[rune]uint8{'F': 1, 'S': 2, 'R': 4, 'A': 16}[f]
				}
				switch c.StepTCP(dir, flags, life.secure, &timeouts) {
				case Activated:
					active = true
				case Deactivated:
					active = false
				}
				want := tcpFacts[w[2]]
				if c.State != want.state || c.Timeout != time.Duration(want.seconds)*time.Second || active != want.active {
					t.Errorf("after %s: %s, %v, active %v, want %s, %d s, active %v",
						step, StateName(6, c.State, false), c.Timeout, active, want.name, want.seconds, want.active)
				}
			}
		})
	}
}

func TestStepUDP(t *testing.T) {
	timeouts := NewTimeouts(ipvs.Timeouts{UDP: 7})
	c := Conn{Proto: 17, Flags: Inactive | NoOutput}
	c.StepUDP(In, &timeouts)
	if c.Timeout != 7*time.Second || !c.Is(Inactive|NoOutput) || c.State != 0 {
		t.Errorf("after a client's datagram: timeout %v, flags %#x, state %d, want 7s, inactive and without output, 0", c.Timeout, c.Flags, c.State)
	}
	c.StepUDP(Out, &timeouts)
	if c.Timeout != 7*time.Second || !c.Is(Inactive) || c.Is(NoOutput) {
		t.Errorf("after a server's datagram: timeout %v, flags %#x, want 7s and inactive", c.Timeout, c.Flags)
	}
}

func TestTimeouts(t *testing.T) {
	kernel := NewTimeouts(ipvs.Timeouts{})
	if kernel.UDP != 300*time.Second {
		t.Errorf("UDP timeout = %v, want 5m", kernel.UDP)
	}
	set := NewTimeouts(ipvs.Timeouts{TCP: 1, TCPFin: 2, UDP: 3})
	for name, fact := range tcpFacts {
		want := time.Duration(fact.seconds) * time.Second
		if got := kernel.TCP[fact.state]; got != want {
			t.Errorf("timeout of %s = %v, want %v", fact.name, got, want)
		}
		switch name { // exactly these two follow --set
		case "ES":
			want = time.Second
		case "FW":
			want = 2 * time.Second
		}
		if got := set.TCP[fact.state]; got != want {
			t.Errorf("timeout of %s after --set 1 2 3 = %v, want %v", fact.name, got, want)
		}
	}
	if set.UDP != 3*time.Second {
		t.Errorf("UDP timeout after --set 1 2 3 = %v, want 3s", set.UDP)
	}
}

func TestStateName(t *testing.T) {
	for _, tt := range []struct {
		proto    uint8
		state    State
		template bool
		want     string
	}{
		{17, 0, false, "UDP"},
		{6, 200, false, "NONE"},
		{33, 3, false, "NONE"},
		{6, TemplateNone, true, "NONE"},
		{6, TemplateAssured, true, "ASSURED"},
		{0, TemplateAssured, true, "ASSURED"},
	} {
		if got := StateName(tt.proto, tt.state, tt.template); got != tt.want {
			t.Errorf("StateName(%d, %d, %v) = %q, want %q", tt.proto, tt.state, tt.template, got, tt.want)
		}
	}
}
