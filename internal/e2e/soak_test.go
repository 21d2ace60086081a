package e2e

// A director under everything at once, for as long as one likes:
//
//	client-1 ── pages ──┐
//	client-1 ── bulk ───[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2
//	client-2 ── datagrams                 an edit of the rules each second

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"natlb/internal/lab"
)

// soakVar says how long TestSoak takes, as 10m: make soak sets it.
const soakVar = "NATLB_SOAK"

// edits are what the operator does, one after the other, again and again. server-1
// takes connections all the time.
var edits = []string{
	"-e -t 192.168.0.178:80 -r 192.168.56.101:80 -m -w 3",
	"-E -t 192.168.0.178:80 -s wlc",
	"-e -t 192.168.0.178:80 -r 192.168.56.103:80 -m -w 0",
	"-A -t 192.168.0.178:8080 -s sh -p 10",
	"-a -t 192.168.0.178:8080 -r 192.168.56.101:80 -m",
	"-e -t 192.168.0.178:80 -r 192.168.56.103:80 -m -w 2",
	"-E -t 192.168.0.178:80 -s mh",
	"-D -t 192.168.0.178:8080",
	"-d -t 192.168.0.178:80 -r 192.168.56.103:80",
	"set expire_nodest_conn=0",
	"-a -t 192.168.0.178:80 -r 192.168.56.103:80 -m",
	"-E -t 192.168.0.178:80 -s sed",
	"-Z",
	"-e -t 192.168.0.178:80 -r 192.168.56.101:80 -m -w 1",
	"-E -t 192.168.0.178:80 -s rr",
}

// TestSoak: no request fails, every look at the ledger balances, and the director's
// memory, files and threads stay what they were after a quarter of the time.
func TestSoak(t *testing.T) {
	begin(t, "iperf3")
	length := 8 * time.Second
	if text := os.Getenv(soakVar); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		must(t, err)
	}
	c := newCourse(t, lab.CourseOptions{Clients: 2})
	servePages(t, c.Servers)
	for _, s := range c.Servers {
		serveEcho(t, s, ":53")
	}
	startIperf(t, c.Servers[0])
	d := courseDirector(t, c, "--shards", "2")
	balance(d, c)
	balanceOver(d, "-u 192.168.0.178:53", c.RIPs...)
	balanceOver(d, "-t 192.168.0.178:5201", c.RIPs[0])
	d.ctl("--set 900 5 5") // so that connections end, too

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	looks, stopLooking := looksAtLedger(t, d)
	pages := startLoadFor(t, firstClient(c), 4, length+time.Minute)
	var traffic sync.WaitGroup
	var datagrams atomic.Uint64
	traffic.Go(func() { soakBulk(t, ctx, c) })
	traffic.Go(func() {
		client := lab.NewClient(c.Clients[1], netip.Addr{})
		for ctx.Err() == nil {
			answer, err := client.Echo(context.WithoutCancel(ctx), netip.MustParseAddrPort("192.168.0.178:53"), "soak", 3)
			if err != nil || !strings.HasSuffix(answer, "soak") {
				t.Errorf("a datagram is answered %q, %v", answer, err)
				return
			}
			datagrams.Add(1)
		}
	})

	var early footprint
	begun, tick := time.Now(), time.NewTicker(time.Second)
	defer tick.Stop()
	edited := 0
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			d.ctl(edits[edited%len(edits)])
			edited++
		case <-ctx.Done():
		}
		if early == (footprint{}) && time.Since(begun) > length/4 {
			early = footprintOf(t, d)
		}
	}
	late := footprintOf(t, d)
	traffic.Wait()
	pages.stopClean()
	stopLooking()
	t.Logf("%v: %d pages, %d datagrams, %d edits, %d looks at the ledger; %v, then %v", length, pages.done.Load(), datagrams.Load(), edited, looks.Load(), early, late)
	if pages.done.Load() == 0 || datagrams.Load() == 0 || edited == 0 || looks.Load() == 0 {
		t.Error("the load was not what it is meant to be")
	}
	// A quarter of it, most of which are the rings, is what arenas and table take that are
	// touched for the first time in a short run.
	if late.memory > early.memory*5/4 || late.files > early.files+4 || late.threads > early.threads+8 {
		t.Errorf("the director had %v, and has %v", early, late)
	}
	if lost := counter(t, d, "link-vip0-kernel-dropped") + counter(t, d, "link-dip0-kernel-dropped"); lost > 0 {
		t.Logf("the kernel has dropped %d frames", lost) // TCP has sent them again
	}
}

// soakBulk keeps a stream going in each direction, one after the other. Between two
// of them iperf3's server does not listen, or is busy with its end, for a moment.
func soakBulk(t *testing.T, ctx context.Context, c *lab.Course) {
	notReady := 0
	for way := 0; ctx.Err() == nil; way++ {
		args := []string{"--client", "192.168.0.178", "--time", "5", "--connect-timeout", "5000"}
		if way%2 == 1 {
			args = append(args, "--reverse")
		}
		var said bytes.Buffer
		cmd := exec.CommandContext(context.WithoutCancel(ctx), "iperf3", args...)
		cmd.Stdout, cmd.Stderr = &said, &said
		err := c.Clients[0].Run(cmd)
		begun := bytes.Contains(said.Bytes(), []byte("connected to"))
		switch {
		case err == nil:
			notReady = 0
		case begun || notReady == 10:
			t.Errorf("iperf3: %v: %s", err, said.String())
			return
		default:
			notReady++
			awaitListening(t, c.Servers[0], 5201)
		}
	}
}

// footprint is what a process takes.
type footprint struct{ memory, files, threads int }

func (f footprint) String() string {
	return fmt.Sprintf("%d MiB, %d files, %d threads", f.memory>>20, f.files, f.threads)
}

func footprintOf(t *testing.T, d *director) (f footprint) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", d.cmd.Process.Pid)
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	must(t, err)
	f.files = len(files)
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		n, _ := strconv.Atoi(words[1]) // of other lines no number is needed
		switch words[0] {
		case "VmRSS:":
			f.memory = n << 10
		case "Threads:":
			f.threads = n
		}
	}
	return f
}
