package e2e

// natlb capture of a director at work, read by Wireshark and played again:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// tshark returns a line of fields for each packet of a capture.
func tshark(t *testing.T, file string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-n", "-r", file, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(within(t, time.Minute), "tshark", args...).Output()
	must(t, err)
	var lines [][]string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return lines
}

// captured is what natlb capture --json says in the end.
type captured struct {
	Schema               int
	Received, Sent, Lost uint64
	Ended                string
}

// capturing starts natlb capture and returns when it is under way; the function
// ends it.
func (d *director) capturing(file string, choice string) (end func() captured) {
	d.t.Helper()
	j := d.begin("capture --json --out " + file + " " + choice)
	await(d.t, "the capture has begun", 10*time.Second, func() bool {
		s, err := os.Stat(file)
		return err == nil && s.Size() > 0
	})
	return func() (said captured) {
		d.t.Helper()
		noError(d.t, j.cmd.Process.Signal(syscall.SIGINT))
		j.ends(0)
		must(d.t, json.Unmarshal([]byte(j.out.String()), &said))
		return said
	}
}

// TestCaptureAndReplay: a capture has both sides of its connections, with comments
// that Wireshark shows, and what natlb replay makes of it is what the director had
// made.
func TestCaptureAndReplay(t *testing.T) {
	begin(t, "curl", "tshark")
	for _, shards := range []string{"1", "3"} {
		t.Run(shards+" shards", func(t *testing.T) { captureAndReplay(t, shards, false) })
		t.Run(shards+" shards, IPv6", func(t *testing.T) { captureAndReplay(t, shards, true) })
	}
}

// captureAndReplay does so for either family.
func captureAndReplay(t *testing.T, shards string, v6 bool) {
	c := newCourse(t, lab.CourseOptions{Clients: 2, IPv6: v6})
	servePages(t, c.Servers)
	d := courseDirector(t, c, "--shards", shards)
	vip, rips, watched, own := lab.VIP, c.RIPs, c.CIPs[0][0], "ip.addr=="
	if v6 {
		vip, rips, watched, own = lab.VIP6, c.RIPs6, c.CIPs6[0][0], "ipv6.addr=="
	}
	service := netip.AddrPortFrom(vip, 80)
	d.ctl(fmt.Sprintf("-A -t %v -s rr", service))
	for _, rip := range rips {
		d.ctl(fmt.Sprintf("-a -t %v -r %v -m", service, netip.AddrPortFrom(rip, 80)))
	}
	url := fmt.Sprintf("http://%v/", service)
	for range 4 { // neighbours get known
		for _, client := range c.Clients {
			curl(t, client, url)
		}
	}
	d.quiet()
	of, all := filepath.Join(t.TempDir(), "client.pcapng"), filepath.Join(t.TempDir(), "service.pcapng")
	endOf, endAll := d.capturing(of, fmt.Sprintf("--client %v", watched)), d.capturing(all, fmt.Sprintf("-t %v", service))
	for range 10 {
		for _, client := range c.Clients {
			curl(t, client, url)
		}
	}
	if err := startCurl(c.Clients[0], io.Discard, io.Discard, fmt.Sprintf("http://%v/", netip.AddrPortFrom(vip, 81))); err == nil {
		t.Error("a port without a service has answered")
	}
	d.quiet()
	await(t, "the refusal is in the file", 10*time.Second, func() bool {
		text, err := os.ReadFile(of)
		return err == nil && bytes.Contains(text, []byte("answer-reset"))
	})
	checkCapture(t, of, endOf(), 10, own+watched.String())
	whole := endAll()
	checkCapture(t, all, whole, 20, "tcp.port==80")

	rules := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(rules, []byte(d.ctl("save")), 0o666))
	text, err := exec.CommandContext(within(t, time.Minute), program, "replay", "--rules", rules, "--both", all, "--json").Output()
	must(t, err)
	var replayed struct {
		Packets  struct{ Received, Own, Sent uint64 }
		Verdicts []struct {
			Name  string
			Count uint64
		}
		Connections []struct{ Why, State string }
	}
	must(t, json.Unmarshal(text, &replayed))
	if p := replayed.Packets; p.Own != whole.Sent || p.Received != whole.Received || p.Sent != whole.Sent || len(replayed.Connections) != 20 ||
		len(replayed.Verdicts) != 1 || replayed.Verdicts[0].Name != "forward" || replayed.Verdicts[0].Count != whole.Received {
		t.Errorf("the replay of %+v is %s", whole, text)
	}
}

// checkCapture checks a capture against what natlb and Wireshark say of it: so many
// connections were opened in it, and all its packets are the chosen ones.
func checkCapture(t *testing.T, file string, said captured, opened int, chosen string) {
	t.Helper()
	byInterface := map[string]uint64{}
	picks := 0
	for _, p := range tshark(t, file, "frame.interface_name", "frame.packet_flags_direction", "frame.comment") {
		byInterface[p[0]+" "+p[1]]++
		if strings.HasPrefix(p[2], "forward: TCP ") && strings.HasSuffix(p[2], ", SYN_RECV, picked: new") {
			picks++
		}
	}
	if picks != 2*opened { // each SYN came and was sent on
		t.Errorf("%d comments of %s tell of a pick, want %d", picks, file, 2*opened)
	}
	in := byInterface["vip0 0x00000001"] + byInterface["dip0 0x00000001"]
	out := byInterface["vip0 0x00000002"] + byInterface["dip0 0x00000002"]
	if want := (captured{Schema: 1, Received: in, Sent: out}); said != want || in == 0 || in != out || len(byInterface) != 4 {
		t.Errorf("natlb says %+v, Wireshark counts %v", said, byInterface)
	}
	stray, err := exec.CommandContext(within(t, time.Minute), "tshark", "-n", "-r", file, "-Y", "!("+chosen+")").Output()
	must(t, err)
	if len(stray) > 0 {
		t.Errorf("%s has packets that were not asked for:\n%s", file, stray)
	}
}
