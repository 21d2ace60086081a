package words

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
)

var update = flag.Bool("update", false, "write what is printed to testdata")

// bench is a data path behind a control socket.
type bench struct{ *dataplane.Director }

func (bench) Counters() []control.Counter { return nil }
func (bench) Ledger() control.Ledger      { return control.Ledger{} }
func (bench) Setup() control.Setup        { return control.Setup{} }
func (bench) Capture(control.Capture) (control.CaptureFeed, error) {
	return nil, errors.ErrUnsupported
}
func (bench) Sysctls() []control.Sysctl { return nil }

const benchRules = `-A -t 10.10.1.1:80 -s wlc -p 300 -M 255.255.255.0
-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 1
-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m -w 2
-a -t 10.10.1.1:80 -r 10.20.0.13:8080 -m -w 0
-A -t 10.10.1.1:443 -s sh
-a -t 10.10.1.1:443 -r 10.20.0.11 -m -w 30
-a -t 10.10.1.1:443 -r 10.20.0.12 -m -w 30
-A -u 10.10.1.1:53 -s rr -o
-a -u 10.10.1.1:53 -r 10.20.0.99 -m
-A -t 10.10.1.1:22 -s rr
-A --sctp-service 10.10.1.5:2905 -s rr
-a --sctp-service 10.10.1.5:2905 -r 10.20.0.11 -m
-A -f 7 -s none
mark -A PREROUTING -d 10.10.1.3 -j MARK --set-mark 7
-A -t [2001:db8:a::10]:80 -s rr -p 300 -M 64
-a -t [2001:db8:a::10]:80 -r [fd20::11]:8080 -m
-a -t [2001:db8:a::10]:80 -r [fd20::12]:8080 -m
-A -u [2001:db8:a::10]:53 -s rr
-a -u [2001:db8:a::10]:53 -r 10.20.0.11 -i --tun-type gre
`

// startBench starts a director between 10.10.0.0/16 and 10.20.0.0/24, of which
// 10.20.0.99 does not answer ARP and has a router behind it, and between
// 2001:db8::/32 and fd20::/64.
func startBench(t *testing.T) {
	t.Helper()
	d := dataplane.NewDirector(dataplane.Config{Seed: 1, Links: []dataplane.Link{
		{Name: "vip0", Side: dataplane.VIPSide}, {Name: "dip0", Side: dataplane.DIPSide},
	}})
	prefix, silent := netip.MustParsePrefix, netip.MustParseAddr("10.20.0.254")
	d.SetHost(&packettest.Host{
		Links: []dataplane.LinkState{
			{MAC: packettest.MAC("02:00:00:00:01:01"), MTU: 1500, Up: true, Addr: 0x0a0a0001, Addr6: rewrite.Addr6Of(netip.MustParseAddr("2001:db8:a::1"))},
			{MAC: packettest.MAC("02:00:00:00:02:01"), MTU: 1400, Up: true, Addr: 0x0a140001, Addr6: rewrite.Addr6Of(netip.MustParseAddr("fd20::1"))},
		},
		Routes: []packettest.Route{
			{Prefix: prefix("10.10.0.0/16"), Kind: dataplane.HopForward, Link: 0},
			{Prefix: prefix("10.20.0.0/24"), Kind: dataplane.HopForward, Link: 1},
			{Prefix: prefix("2001:db8::/32"), Kind: dataplane.HopForward, Link: 0},
			{Prefix: prefix("fd20::/64"), Kind: dataplane.HopForward, Link: 1},
			{Prefix: prefix("10.20.0.99/32"), Kind: dataplane.HopForward, Link: 1, Via: silent},
		},
		Neighbours: map[netip.Addr]packettest.Neighbour{silent: packettest.Failed},
	})
	rules, err := ipvsadm.ParseRules(strings.NewReader(benchRules), "rules")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(rules.Changes); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "natlb.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(bench{d}, "v0", slog.New(slog.DiscardHandler))
	go server.Serve(l)
	t.Cleanup(func() { server.Shutdown(context.Background()) })
	t.Setenv("NATLB_SOCKET", path)
}

// say runs one command line.
func say(t *testing.T, line string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs strings.Builder
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Version: "v0"}
	status = New(env).Run(t.Context(), strings.Fields(line))
	return out.String(), errs.String(), status
}

// TestExplainText compares the pages that people read with testdata, and looks
// at what they all owe: 80 columns, no blanks at the end.
func TestExplainText(t *testing.T) {
	startBench(t)
	var pages strings.Builder
	for _, line := range []string{
		"explain tcp 10.10.3.5 10.10.1.1:80",
		"explain tcp 10.10.3.5:4000 10.10.1.1:443",
		"explain tcp 10.10.3.5:4000 10.10.1.1:443 --flags fin,ack",
		"explain udp 10.10.3.5:4000 10.10.1.1:53",
		"explain sctp 10.10.3.5:4000 10.10.1.5:2905",
		"explain sctp 10.10.3.5:4000 10.10.1.5:2905 --chunk cookie_echo",
		"explain tcp 10.10.3.5:4000 10.10.1.1:22",
		"explain tcp 10.10.3.5:4000 10.10.1.3:80",
		"explain tcp 10.10.3.5:4000 10.10.1.1:80 --mark 7",
		"explain tcp 10.10.3.5:4000 10.10.1.9:80 --via dip0",
		"explain tcp 10.10.3.5:4000 --reply 10.20.0.11:8080",
		"explain tcp [2001:db8:c:5::7]:4000 [2001:db8:a::10]:80",
		"explain udp [2001:db8:c:5::7]:4000 [2001:db8:a::10]:53",
	} {
		out, errs, status := say(t, line)
		if status != 0 || errs != "" {
			t.Errorf("natlb %s ends with %d and says %q", line, status, errs)
		}
		pages.WriteString("$ natlb " + line + "\n" + out + "\n")
	}
	for line := range strings.Lines(pages.String()) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.TrimRight(line, " ") != line {
			t.Errorf("%d columns, or blanks at the end: %q", len(line), line)
		}
	}
	const file = "testdata/explain.txt"
	if *update {
		if err := os.WriteFile(file, []byte(pages.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pages.String()); diff != "" {
		t.Errorf("%s (-want +got), rewrite it with -update:\n%s", file, diff)
	}
	document, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for i, block := range strings.Split(string(document), "```\n") {
		if i%2 == 1 {
			sessions++
			if !strings.Contains(pages.String(), block+"\n") {
				t.Errorf("docs/explain.md shows what natlb does not print:\n%s", block)
			}
		}
	}
	if sessions == 0 {
		t.Error("docs/explain.md shows nothing")
	}
}

// TestExplainTunnels: what is sent has the tunnel's name, and ports where it has some.
func TestExplainTunnels(t *testing.T) {
	startBench(t)
	client := control.Dial(os.Getenv("NATLB_SOCKET"))
	defer client.Close()
	for options, want := range map[string]string{
		"-r 10.20.0.11 -i":                                   "dip0: 10.20.0.1 > 10.20.0.11 IPIP, TTL 63, 48",
		"-r 10.20.0.11 -i --tun-type gre":                    "dip0: 10.20.0.1 > 10.20.0.11 GRE, TTL 63, 52",
		"-r 10.20.0.11 -i --tun-type gue --tun-port 6080":    "> 10.20.0.11:6080 UDP, TTL 63, 60",
		"-r [fd20::11]:53 -i":                                "dip0: fd20::1 > fd20::11 IPIP, TTL 63, 68",
		"-r [fd20::11]:53 -i --tun-type gre --tun-csum":      "dip0: fd20::1 > fd20::11 GRE, TTL 63, 76",
		"-r [fd20::11]:53 -i --tun-type gue --tun-port 6080": "> [fd20::11]:6080 UDP, TTL 63, 80",
	} {
		rules, err := ipvsadm.ParseRules(strings.NewReader("-A -u 10.10.1.6:53\n-a -u 10.10.1.6:53 "+options+"\n"), "rules")
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Apply(t.Context(), rules.Changes); err != nil {
			t.Fatal(err)
		}
		if out, _, _ := say(t, "explain udp 10.10.3.5:4000 10.10.1.6:53"); !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%s: want %q in\n%s", options, want, out)
		}
		if err := client.Apply(t.Context(), []ipvs.Change{{Kind: ipvs.DeleteService, Service: rules.Changes[0].Service}}); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := ipvsadm.ParseRules(strings.NewReader("-A -u [2001:db8:a::11]:53\n-a -u [2001:db8:a::11]:53 -r 10.20.0.11:53 -i\n"), "rules")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Apply(t.Context(), rules.Changes); err != nil {
		t.Fatal(err)
	}
	if out, _, _ := say(t, "explain udp [2001:db8:c:5::7]:4000 [2001:db8:a::11]:53"); !strings.Contains(out, "dip0: 10.20.0.1 > 10.20.0.11 IPv6, TTL 63") {
		t.Errorf("IPv6 in IPv4:\n%s", out)
	}
}

// TestExplainManyServers: a long list is cut for people, never the pick.
func TestExplainManyServers(t *testing.T) {
	startBench(t)
	client := control.Dial(os.Getenv("NATLB_SOCKET"))
	defer client.Close()
	text := "-A -t 10.10.1.5:80 -s rr\n"
	for i := range 100 {
		text += "-a -t 10.10.1.5:80 -r " + netip.AddrFrom4([4]byte{10, 20, 1, byte(i)}).String() + " -m -w " + map[bool]string{true: "1", false: "0"}[i == 10] + "\n"
	}
	rules, err := ipvsadm.ParseRules(strings.NewReader(text), "rules")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Apply(t.Context(), rules.Changes); err != nil {
		t.Fatal(err)
	}
	out, _, _ := say(t, "explain tcp 10.10.3.5 10.10.1.5:80")
	if strings.Count(out, "10.20.1.") != 20+2 || !strings.Contains(out, "\n> 10.20.1.10:80 ") || !strings.Contains(out, "  and 80 more (--json shows all)\n") {
		t.Errorf("a service of 100 servers:\n%s", out)
	}
	out, _, _ = say(t, "explain --json tcp 10.10.3.5 10.10.1.5:80")
	var x struct {
		Schema int
		Pick   struct{ Candidates []struct{ Address string } }
	}
	if err := json.Unmarshal([]byte(out), &x); err != nil || x.Schema != 1 || len(x.Pick.Candidates) != 100 || strings.Count(out, "\n") != 1 {
		t.Errorf("--json (%v):\n%s", err, out)
	}
}

// TestExplainUsage: command lines that are none, each with a hint.
func TestExplainUsage(t *testing.T) {
	startBench(t)
	for line, want := range map[string]string{
		"explain":                                                 "a protocol, a client and a VIP:PORT are needed",
		"explain tcp 10.10.3.5":                                   "a protocol, a client and a VIP:PORT are needed",
		"explain icmp 10.10.3.5 10.10.1.1":                        `protocol tcp, udp or sctp, not "icmp"`,
		"explain tcp host 10.10.1.1:80":                           `the client is CIP or CIP:PORT, not "host"`,
		"explain tcp 10.10.3.5 10.10.1.1":                         `where it goes is VIP:PORT, not "10.10.1.1"`,
		"explain tcp 10.10.3.5 10.10.1.1:80 --flags SIN":          `TCP flag "SIN" (known: FIN SYN RST PSH ACK URG ECE CWR)`,
		"explain sctp 10.10.3.5 10.10.1.1:80 --chunk HELLO":       `SCTP chunk "HELLO" (known: DATA INIT INIT-ACK`,
		"explain tcp 10.10.3.5 10.10.1.1:80 --chunk INIT":         "SCTP has chunks, TCP has flags",
		"explain sctp 10.10.3.5 10.10.1.1:80 --flags SYN":         "SCTP has chunks, TCP has flags",
		"explain tcp 10.10.3.5 10.10.1.1:80 --mark -1":            "--mark takes a number",
		"explain tcp 10.10.3.5 10.10.1.1:80 --reply 10.20.0.1":    "--reply takes RIP:PORT",
		"explain tcp 10.10.3.5 10.10.1.1:80 --reply 10.20.0.1:80": "or --reply RIP:PORT in place of the last",
		"explain tcp 10.10.3.5 --reply 10.20.0.1:80":              "which port of 10.10.3.5 does the server answer?",
		"explain tcp 10.10.3.5 10.10.1.1:80 --via eth9":           `no interface "eth9" (it has ["vip0" "dip0"])`,
		"explain tcp [fd00::1]:1 10.10.1.1:80":                    "of two families",
	} {
		out, errs, status := say(t, line)
		if status != 1 || out != "" || !strings.HasPrefix(errs, "natlb: ") || !strings.Contains(errs, want) || !strings.Contains(errs, "\nhint: ") {
			t.Errorf("natlb %s ends with %d and prints %q, %q, want %q and a hint", line, status, out, errs, want)
		}
	}
	t.Setenv("NATLB_SOCKET", filepath.Join(t.TempDir(), "nobody.sock"))
	if _, errs, status := say(t, "explain tcp 10.10.3.5 10.10.1.1:80"); status != 2 || !strings.Contains(errs, "\nhint: ") {
		t.Errorf("without a director: status %d, %q", status, errs)
	}
}
