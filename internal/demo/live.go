package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"natlb/internal/lab"
	"natlb/internal/terminal"
)

// Terminal sequences (ECMA-48 and xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // a screen of its own, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor to the end of the line
	clearBelow  = "\x1b[J"
)

const (
	refreshScreen = time.Second     // on a terminal, in place
	refreshPlain  = 5 * time.Second // anywhere else, one block after another
)

// liveServices are two services of different schedulers and weights for the
// same servers.
const (
	wrrService = service
	wlcService = vip + ":8080"
)

// live shows traffic until the user or a signal ends it.
func (d *demo) live(ctx context.Context, plain bool) error {
	d.note("Traffic: wrr by weights 3 and 1, wlc by weights 1 and 2 with connections that last. Ctrl-C ends it.")
	err := d.runAll(ctx,
		"-C",
		"-A -t "+wrrService+" -s wrr",
		"-a -t "+wrrService+" -r "+server1+" -m -w 3",
		"-a -t "+wrrService+" -r "+server2+" -m -w 1",
		"-A -t "+wlcService+" -s wlc",
		"-a -t "+wlcService+" -r "+server1+" -m -w 1",
		"-a -t "+wlcService+" -r "+server2+":"+port2+" -m -w 2")
	if err != nil {
		return err
	}
	const briefBreath, lastingBreath = 20 * time.Millisecond, 5 * time.Millisecond
	brief := startLoad(ctx, wrrService, briefBreath, d.liveClients(1, 0)...)
	defer brief.stop()
	lasting := startLoad(ctx, wlcService, lastingBreath, d.liveClients(4, 400*time.Millisecond)...)
	defer lasting.stop()

	if !plain && terminal.Is(d.out) {
		err = d.refreshInPlace(ctx, brief, lasting)
	} else {
		err = d.refreshBelow(ctx, brief, lasting)
	}
	brief.stop()
	lasting.stop()
	d.note("Ended.")
	d.answer(received(brief, lasting))
	return errors.Join(err, unharmed(brief), unharmed(lasting))
}

// liveClients are each of the client's addresses n times; a client's
// connections rest for up to pause, every client its own share of it.
func (d *demo) liveClients(n int, pause time.Duration) []*lab.Client {
	var clients []*lab.Client
	addrs := d.course.CIPs[0]
	for i := range n * len(addrs) {
		c := lab.NewClient(d.course.Clients[0], addrs[i%len(addrs)])
		c.Pause = pause * time.Duration(i+1) / time.Duration(n*len(addrs))
		clients = append(clients, c)
	}
	return clients
}

// refreshInPlace draws on a screen of its own, which is gone afterwards.
func (d *demo) refreshInPlace(ctx context.Context, loads ...*load) error {
	fmt.Fprint(d.out, enterScreen)
	defer fmt.Fprint(d.out, leaveScreen)
	return d.every(ctx, refreshScreen, func() error {
		view, err := d.view(ctx, loads...)
		if err != nil {
			return err
		}
		// No line end after the last line: on 24 lines the screen would scroll.
		view = strings.TrimSuffix(view, "\n")
		fmt.Fprint(d.out, home+strings.ReplaceAll(view, "\n", clearLine+"\n")+clearBelow)
		return nil
	})
}

// refreshBelow prints block after block.
func (d *demo) refreshBelow(ctx context.Context, loads ...*load) error {
	return d.every(ctx, refreshPlain, func() error {
		view, err := d.view(ctx, loads...)
		if err == nil {
			d.answer("\n" + view)
		}
		return err
	})
}

// every calls show at once and then at each interval. The end of ctx is a good
// end, also in the middle of show.
func (d *demo) every(ctx context.Context, interval time.Duration, show func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := show()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// view is one look at both listings, and what the clients have to say.
func (d *demo) view(ctx context.Context, loads ...*load) (string, error) {
	var b strings.Builder
	for _, listing := range [][]string{{"-L", "-n"}, {"-L", "-n", "--rate"}} {
		text, err := d.natlb.ask(ctx, nil, listing...)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "director$ natlb %s\n%s\n", strings.Join(listing, " "), text)
	}
	b.WriteString(received(loads...))
	return b.String(), nil
}

// received is a line for each load that says which server answered how much.
func received(loads ...*load) string {
	var b strings.Builder
	for _, l := range loads {
		t := l.counted()
		share := 0.0
		if answers := t.server1 + t.server2; answers > 0 {
			share = 100 * float64(t.server1) / float64(answers)
		}
		fmt.Fprintf(&b, "clients of %-18s %d answers, %.0f %% by server-1; %d failed\n",
			l.service, t.server1+t.server2, share, t.failed+t.strange)
	}
	return b.String()
}

// unharmed reports a load that has seen a request fail.
func unharmed(l *load) error {
	t := l.counted()
	if t.failed+t.strange == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d requests to %s failed; the first: %w", t.failed+t.strange, t.requests(), l.service, t.firstFailure)
}
