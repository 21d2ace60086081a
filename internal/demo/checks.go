package demo

import (
	"fmt"
	"strconv"
	"strings"
)

// checkTurns reports unless the answers came from first and second strictly in
// turn, first beginning.
func checkTurns(answers []string, first, second string) error {
	for i, got := range answers {
		want := first
		if i%2 == 1 {
			want = second
		}
		if got != want {
			return fmt.Errorf("answer %d of %d was %q, want %q: rr takes the servers in turn, the newest first (all answers: %q)",
				i+1, len(answers), got, want, answers)
		}
	}
	return nil
}

// checkEchoes reports unless every reply is payload after the prefix of a
// server, and each server answered.
func checkEchoes(replies []string, payload string, servers ...string) error {
	answered := make(map[string]bool)
	for _, reply := range replies {
		server, echo, _ := strings.Cut(reply, ": ")
		if echo != payload {
			return fmt.Errorf("the datagram %q came back as %q", payload, reply)
		}
		answered[server] = true
	}
	for _, s := range servers {
		if !answered[s] {
			return fmt.Errorf("%s did not answer one of %d datagrams (all answers: %q)", s, len(replies), replies)
		}
	}
	return nil
}

// checkDrain judges what the clients counted while server 1 was taken out.
func checkDrain(before, after tally) error {
	switch {
	case after.failed > 0:
		return fmt.Errorf("%d of %d requests failed while server 1 was taken out; the first: %w", after.failed, after.requests(), after.firstFailure)
	case after.strange > 0:
		return fmt.Errorf("%d answers were no page of the servers; the first: %w", after.strange, after.firstFailure)
	case before.server1 == 0 || before.server2 == 0:
		return fmt.Errorf("before server 1 was taken out the servers answered %d and %d requests, want some from each", before.server1, before.server2)
	case after.late > 0:
		return fmt.Errorf("server 1 answered %d requests that began after it was drained", after.late)
	case after.server2 == before.server2:
		return fmt.Errorf("server 2 answered nothing after server 1 was drained")
	}
	return nil
}

// activeConns finds the ActiveConn of a real server in a listing of `-L -n`.
func activeConns(listing, server string) (int, error) {
	const active = 4 // -> address forward weight active inactive
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) > active && fields[0] == "->" && fields[1] == server {
			return strconv.Atoi(fields[active])
		}
	}
	return 0, fmt.Errorf("no line for %s in the listing:\n%s", server, listing)
}
