package demo

import (
	"errors"
	"strings"
	"testing"
)

// judged fails the test unless err is nil for want "", or else says want.
func judged(t *testing.T, call string, err error, want string) {
	t.Helper()
	if want == "" && err != nil {
		t.Errorf("%s = %v, want nil", call, err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s = %v, want an error with %q", call, err, want)
	}
}

func TestCheckTurns(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		want    string
	}{
		{"in turn", []string{"b", "a", "b", "a"}, ""},
		{"oldest first", []string{"a", "b", "a", "b"}, "answer 1 of 4"},
		{"one twice", []string{"b", "a", "a", "b"}, "answer 3 of 4"},
		{"one server alone", []string{"b", "b"}, "answer 2 of 2"},
		{"a stranger", []string{"b", "a", "c"}, "answer 3 of 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judged(t, "checkTurns", checkTurns(tt.answers, "b", "a"), tt.want)
		})
	}
}

func TestCheckEchoes(t *testing.T) {
	tests := []struct {
		name    string
		replies []string
		want    string
	}{
		{"both", []string{"s1: hi", "s2: hi", "s1: hi"}, ""},
		{"one server alone", []string{"s1: hi", "s1: hi"}, "s2 did not answer"},
		{"changed on the way", []string{"s1: hi", "s2: ho"}, `came back as "s2: ho"`},
		{"no server", []string{"hi"}, `came back as "hi"`},
		{"none", nil, "s1 did not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judged(t, "checkEchoes", checkEchoes(tt.replies, "hi", "s1", "s2"), tt.want)
		})
	}
}

func TestCheckDrain(t *testing.T) {
	before := tally{server1: 10, server2: 10}
	tests := []struct {
		name          string
		before, after tally
		want          string
	}{
		{"well", before, tally{server1: 12, server2: 30}, ""},
		{"a failed request", before, tally{server1: 12, server2: 30, failed: 1, firstFailure: errors.New("refused")}, "1 of 43 requests failed while server 1 was taken out; the first: refused"},
		{"a strange answer", before, tally{server1: 12, server2: 30, strange: 2, firstFailure: errors.New("404")}, "2 answers were no page"},
		{"server 1 idle before", tally{server2: 10}, tally{server2: 30}, "0 and 10 requests"},
		{"server 2 idle before", tally{server1: 10}, tally{server1: 10, server2: 30}, "10 and 0 requests"},
		{"not drained", before, tally{server1: 12, server2: 30, late: 1}, "answered 1 requests that began after"},
		{"nobody afterwards", before, tally{server1: 12, server2: 10}, "server 2 answered nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			judged(t, "checkDrain", checkDrain(tt.before, tt.after), tt.want)
		})
	}
}

func TestActiveConns(t *testing.T) {
	const listing = `Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.168.0.178:80 rr
  -> 192.168.56.101:8088          Masq    0      3          120       
  -> 192.168.56.103:80            Masq    1      4          121       
`
	if got, err := activeConns(listing, "192.168.56.101:8088"); got != 3 || err != nil {
		t.Errorf("activeConns(.101:8088) = %d, %v, want 3", got, err)
	}
	for _, server := range []string{"192.168.56.101:80", "RemoteAddress:Port"} {
		if got, err := activeConns(listing, server); err == nil {
			t.Errorf("activeConns(%s) = %d, want an error", server, got)
		}
	}
}

func TestLoadCounts(t *testing.T) {
	var l load
	l.count(page1, nil, false)
	l.count(page2, nil, false)
	l.count(page2, nil, true)
	l.count(page1, nil, true)
	l.count("404", nil, false)
	l.count("", errors.New("refused"), true)
	got := l.counted()
	if got.firstFailure == nil || got.firstFailure.Error() != `the answer "404"` {
		t.Errorf("firstFailure = %v, want the answer 404", got.firstFailure)
	}
	got.firstFailure = nil
	if want := (tally{server1: 2, server2: 2, strange: 1, failed: 1, late: 1}); got != want || got.requests() != 6 {
		t.Errorf("counted %+v of %d requests, want %+v of 6", got, got.requests(), want)
	}
}
