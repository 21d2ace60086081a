package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"natlb/internal/lab"
)

// What the course types, word by word. rulesFile is in the lab's private /run.
const (
	vip       = "192.168.0.178"
	service   = vip + ":80"
	server1   = "192.168.56.101:" + port1
	server2   = "192.168.56.103"
	pageURL   = "http://" + vip + "/" // service, by the port that goes without saying
	rulesFile = "/run/course.rules"

	echoPort    = "7"
	echoService = vip + ":" + echoPort
)

// scene is the picture above the transcript.
const scene = `
  client             director (natlb run)              real servers
  192.168.0.11 ──── VIP 192.168.0.178
                    DIP 192.168.56.102 ──┬── server-1  192.168.56.101:8088  "server-1 is 8888"
                                         └── server-2  192.168.56.103:80    "server-2 is 80"
`

// lessons is the transcript; each lesson returns what it has shown, in words.
func (d *demo) lessons(ctx context.Context) error {
	d.answer(scene)
	var done []string
	for _, lesson := range []func(context.Context) (string, error){d.balance, d.saveAndRestore, d.balanceDatagrams, d.takeOut} {
		summary, err := lesson(ctx)
		if err != nil {
			return err
		}
		done = append(done, summary)
	}
	d.note("All as it should be: %s.", strings.Join(done, "; "))
	return nil
}

// balance defines the course's service and looks at it with every listing.
func (d *demo) balance(ctx context.Context) (summary string, err error) {
	d.note("A virtual service on the VIP, scheduled round robin, and two real servers by NAT (-m).")
	err = d.runAll(ctx,
		"-A -t "+service+" -s rr",
		"-a -t "+service+" -r "+server1+" -m",
		"-a -t "+service+" -r "+server2+" -m",
		"-L -n")
	if err != nil {
		return "", err
	}
	const requests = 6
	d.note("The client asks %d times: rr takes the servers in turn, the one that came last first.", requests)
	var answers []string
	for range requests {
		answer, err := d.get(ctx)
		if err != nil {
			return "", err
		}
		answers = append(answers, answer)
	}
	if err := checkTurns(answers, page2, page1); err != nil {
		return "", err
	}
	d.note("The connections are counted. These are closed, so inactive until their entries expire.")
	if err := d.runAll(ctx, "-L -n"); err != nil {
		return "", err
	}
	d.note("The entries: how long each still lives, its state, client, virtual service and destination.")
	if err := d.runAll(ctx, "-L -n -c"); err != nil {
		return "", err
	}
	d.note("What has gone through so far, in connections, packets and bytes of each direction.")
	if err := d.runAll(ctx, "-L -n --stats"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d requests answered in strict turn", requests), nil
}

// saveAndRestore empties the table and brings it back; the client notices both.
func (d *demo) saveAndRestore(ctx context.Context) (summary string, err error) {
	d.note("Save the rules and clear the table. An empty table serves nobody.")
	if err := d.runAll(ctx, "-S -n > "+rulesFile, "-C", "-L -n"); err != nil {
		return "", err
	}
	d.typed("client", "GET "+pageURL)
	const patience = 500 * time.Millisecond
	if answer, err := getWithin(ctx, d.client, pageURL, patience); err == nil {
		return "", fmt.Errorf("after -C the client still received %q", answer)
	}
	d.answer("(no answer)")
	d.note("Restore them from the file. Entries that still live find their servers again and are counted.")
	if err := d.runAll(ctx, "-R < "+rulesFile, "-L -n"); err != nil {
		return "", err
	}
	for range 2 {
		answer, err := d.get(ctx)
		if err != nil {
			return "", err
		}
		if answer != page1 && answer != page2 {
			return "", fmt.Errorf("after -R the client received %q", answer)
		}
	}
	return "rules saved, cleared and restored", nil
}

// balanceDatagrams does for UDP what balance did for TCP.
func (d *demo) balanceDatagrams(ctx context.Context) (summary string, err error) {
	d.note("A UDP service. Real servers without a port of their own have the service's.")
	err = d.runAll(ctx,
		"-A -u "+echoService+" -s rr",
		"-a -u "+echoService+" -r 192.168.56.101 -m",
		"-a -u "+echoService+" -r 192.168.56.103 -m")
	if err != nil {
		return "", err
	}
	d.note("Each datagram is from another client port, so each is a new connection.")
	const datagrams, tries, payload = 4, 3, "hello"
	var replies []string
	for range datagrams {
		d.typed("client", "echo "+payload+" to udp "+echoService)
		reply, err := d.client.Echo(ctx, netip.MustParseAddrPort(echoService), payload, tries)
		if err != nil {
			return "", err
		}
		d.answer(reply)
		replies = append(replies, reply)
	}
	if err := checkEchoes(replies, payload, "server-1", "server-2"); err != nil {
		return "", err
	}
	if err := d.runAll(ctx, "-L -n -u "+echoService); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d datagrams echoed by both servers", datagrams), nil
}

// takeOut removes server 1 while clients ask, as one does before maintenance.
func (d *demo) takeOut(ctx context.Context) (summary string, err error) {
	const clients, breath = 8, 2 * time.Millisecond
	d.note("%d clients ask without end. Weight 0: server 1 gets no new connection, those it has go on.", clients)
	l := startLoad(ctx, service, breath, d.sameClient(clients)...)
	defer l.stop()
	warm := func(t tally) bool { return t.failed+t.strange > 0 || t.server1 >= 200 && t.server2 >= 200 }
	if err := l.await(ctx, warm); err != nil {
		return "", err
	}
	before := l.counted()
	if err := d.runAll(ctx, "-e -t "+service+" -r "+server1+" -m -w 0"); err != nil {
		return "", err
	}
	if err := d.awaitDrained(ctx); err != nil {
		return "", err
	}
	l.mark()
	d.note("No active connection is left on it: server 1 is drained and can go.")
	if err := d.runAll(ctx, "-d -t "+service+" -r "+server1, "-L -n"); err != nil {
		return "", err
	}
	marked := l.counted()
	onTwo := func(t tally) bool { return t.failed+t.strange+t.late > 0 || t.server2 >= marked.server2+400 }
	if err := l.await(ctx, onTwo); err != nil {
		return "", err
	}
	l.stop()
	after := l.counted()
	if err := checkDrain(before, after); err != nil {
		return "", err
	}
	d.note("The clients: %d requests, %d failed; server-1 answered %d (%d after it was drained), server-2 %d.",
		after.requests(), after.failed, after.server1, after.late, after.server2)
	return fmt.Sprintf("%d requests while a server was taken out, none failed", after.requests()), nil
}

// awaitDrained looks at the listing until server 1 has no active connection,
// and shows the last look.
func (d *demo) awaitDrained(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestPatience,
		errors.New("server 1 with weight 0 still has active connections"))
	defer cancel()
	for {
		listing, err := d.natlb.ask(ctx, nil, "-L", "-n", "-t", service)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		active, err := activeConns(listing, server1)
		if err != nil {
			return err
		}
		if active == 0 {
			d.typed("director", "natlb -L -n -t "+service)
			d.answer(listing)
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// get asks for the page, as the transcript shows it.
func (d *demo) get(ctx context.Context) (string, error) {
	d.typed("client", "GET "+pageURL)
	answer, err := getWithin(ctx, d.client, pageURL, requestPatience)
	if err != nil {
		return "", err
	}
	d.answer(answer)
	return answer, nil
}

// sameClient is the client n times over.
func (d *demo) sameClient(n int) []*lab.Client {
	clients := make([]*lab.Client, n)
	for i := range clients {
		clients[i] = d.client
	}
	return clients
}
