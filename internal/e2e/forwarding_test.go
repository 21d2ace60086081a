package e2e

// Every way to forward, by every family and protocol, with real clients:
//
//	client-1 ──[ switch ]── server-1, server-2     -g, -i: .201, .202, VIP on lo
//	               └─────── vip0  director
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2: -m
//
// --fullnat has both pictures: in the first without the VIP on lo, in the second with a
// gateway that is not the director.
//
// The rows are data: docs/forwarding.md has them as a table, which
//
//	go test ./internal/e2e -run ForwardingTable -update
//
// writes. A row of another method is a line in forwardingRows.

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"natlb/internal/lab"
)

var updateTable = flag.Bool("update", false, "write the table of docs/forwarding.md anew")

// far is what stands at the other end of a proof.
type far string

const (
	hostKernel  far = "host"  // TCP, UDP and ICMP of the host's kernel
	labReceiver far = "lab"   // the lab takes the packet apart, or speaks SCTP itself
	guestKernel far = "guest" // real tunnel devices, real SCTP
	noWay       far = "-"     // there is nothing to prove
)

// proofs are the columns of the table, each a check that runs in the lab.
var proofs = []struct {
	name, column string
	check        func(f *forwarding, t *testing.T)
	end          func(r *forwardingRow) far
}{
	{"TCP", "TCP", (*forwarding).checkTCP, func(r *forwardingRow) far {
		if r.place == beside {
			return byDevice(r) + ", " + guestKernel // tools/oracle/tunnels.sh
		}
		return byDevice(r)
	}},
	{"UDP", "UDP", (*forwarding).checkUDP, byDevice},
	{"SCTP", "SCTP", (*forwarding).checkSCTP, func(*forwardingRow) far { return labReceiver }},
	{"unreachable", "port unreachable", (*forwarding).checkUnreachable, byDevice},
	{"too big", "too big", (*forwarding).checkTooBig, func(r *forwardingRow) far {
		if r.place == local || r.place == among {
			return noWay // it is delivered where it is; one link has one size
		}
		return byDevice(r)
	}},
}

// byDevice: a tunnel's far end is the lab's, what it lets out goes to the kernel.
func byDevice(r *forwardingRow) far {
	if r.tunnel != "" {
		return labReceiver
	}
	return hostKernel
}

// place is where the real servers are.
type place int

const (
	inside  place = iota // behind the director, which is their gateway
	beside               // on the clients' network, with the VIP on lo: answers go by themselves
	local                // the director is the server
	among                // on the clients' network, without the VIP
	strange              // behind the director, with a gateway that nobody is
)

// forwardingRow is a method with the families of the packets and of the servers.
type forwardingRow struct {
	method   string // as the table and the names of tests have it
	options  string // of the server, for ipvsadm
	place    place
	v6, rip6 bool           // the family of the packets; of the servers' addresses
	tunnel   lab.TunnelKind // what the lab's receiver takes apart
	overhead int            // of the tunnel behind its outer IP header, bytes
	recorded []string       // scenarios in which kernel IPVS was recorded doing it, and natlb is compared with it
}

// forwardingRows are all of them.
func forwardingRows() (rows []forwardingRow) {
	rows = []forwardingRow{
		{method: "-m", options: "-m", place: inside, recorded: []string{"o-cap-tcp", "o-cap-udp", "o-icmp", "o-icmp-mtu", "o6-sctp-cap", "o6-sctp-states"}},
		{method: "-m", options: "-m", place: inside, v6: true, rip6: true, recorded: []string{"o6-cap-tcp", "o6-cap-udp", "o6-icmp", "o6-mtu"}},
		{method: "-g", options: "-g", place: beside, recorded: []string{"o6-dr-cap", "o6-dr-udp"}},
		{method: "-g", options: "-g", place: beside, v6: true, rip6: true, recorded: []string{"o6-dr6"}},
		{method: "local node", options: "-g", place: local, recorded: []string{"o6-dr-local"}},
		{method: "local node", options: "-g", place: local, v6: true, rip6: true},
		{method: "--fullnat", options: "--fullnat", place: strange},
		{method: "--fullnat", options: "--fullnat", place: strange, v6: true, rip6: true},
		{method: "--fullnat, one network", options: "--fullnat", place: among},
		{method: "--fullnat, one network", options: "--fullnat", place: among, v6: true, rip6: true},
	}
	for _, t := range []struct {
		options  string
		tunnel   lab.TunnelKind
		overhead int
		v4       string // the recorded scenario of IPv4
	}{
		{"-i", lab.IPIP, 0, "o6-tun-ipip"},
		{"-i --tun-type gre", lab.GRE, 4, "o6-tun-gre"},
		{"-i --tun-type gre --tun-csum", lab.GREChecksum, 8, "o6-tun-gre-csum"},
		{"-i --tun-type gue --tun-port 6080", lab.GUE, 12, "o6-tun-gue"},
		{"-i --tun-type gue --tun-port 6080 --tun-csum", lab.GUE, 12, "o6-tun-gue-csum"},
	} {
		for _, families := range [][2]bool{{false, false}, {true, true}, {true, false}, {false, true}} {
			r := forwardingRow{
				method: t.options, options: t.options, place: beside, v6: families[0], rip6: families[1],
				tunnel: t.tunnel, overhead: t.overhead,
			}
			switch {
			case !r.v6 && !r.rip6:
				r.recorded = []string{t.v4}
			case r.rip6 && t.tunnel == lab.IPIP:
				r.recorded = []string{"o6-tun6"}
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// families names the families of a row.
func (r *forwardingRow) families() string {
	name := map[bool]string{false: "IPv4", true: "IPv6"}
	if r.tunnel == "" {
		return name[r.v6]
	}
	return name[r.v6] + " in " + name[r.rip6]
}

func (r *forwardingRow) name() string { return r.method + "/" + r.families() }

// forwardingShapes are the set-ups that each row is tried in.
var forwardingShapes = []struct {
	name    string
	shards  string
	tunnels bool // is tried with them, too
	course  lab.CourseOptions
}{
	{"natlb owns the VIP", "1", true, lab.CourseOptions{}},
	{"natlb owns the VIP, the host forwards", "2", false, lab.CourseOptions{IPForward: true}},
	{"the host owns the VIP and forwards", "3", true, lab.CourseOptions{HostOwnsVIP: true, IPForward: true}},
}

func TestForwarding(t *testing.T) {
	begin(t, "curl", "ip")
	for _, row := range forwardingRows() {
		t.Run(row.name(), func(t *testing.T) {
			t.Parallel()
			for _, shape := range forwardingShapes {
				if row.place == local && !shape.course.HostOwnsVIP || row.tunnel != "" && !shape.tunnels {
					continue // a host that does not have the VIP cannot be its server
				}
				t.Run(shape.name, func(t *testing.T) {
					f := newForwarding(t, row, shape.course, shape.shards)
					tryAll := func() {
						for _, p := range proofs {
							if p.end(&row) != noWay {
								t.Run(p.name, func(t *testing.T) { p.check(f, t) })
							}
						}
					}
					if row.place == local { // its kernel serves
						tryAll()
					} else {
						quietly(t, f.c, tryAll)
					}
					if t.Failed() {
						t.Log(f.d.ctl("-L -n --stats"), f.d.ctl("-L -n -c"), f.d.ctl("drops"))
					}
				})
			}
		})
	}
}

// forwardingDocument is where the table is, and between which lines.
const (
	forwardingDocument = "../../docs/forwarding.md"
	tableBegins        = "<!-- the table: go test ./internal/e2e -run ForwardingTable -update -->\n"
	tableEnds          = "<!-- end of the table -->\n"
)

// TestForwardingTable: the table of docs/forwarding.md is that of the rows, and what
// it names is there.
func TestForwardingTable(t *testing.T) {
	text, err := os.ReadFile(forwardingDocument)
	must(t, err)
	before, rest, begins := strings.Cut(string(text), tableBegins)
	table, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s has not both marks of the table", forwardingDocument)
	}
	want := forwardingTable(t, forwardingRows())
	if table == want {
		return
	}
	if !*updateTable {
		t.Fatalf("the table of %s is not that of the rows: go test ./internal/e2e -run ForwardingTable -update", forwardingDocument)
	}
	must(t, os.WriteFile(forwardingDocument, []byte(before+tableBegins+want+tableEnds+after), 0o666))
}

// forwardingTable is the table of rows, for the document.
func forwardingTable(t *testing.T, rows []forwardingRow) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| method | packets |")
	for _, p := range proofs {
		b.WriteString(" " + p.column + " |")
	}
	b.WriteString(" compared with recordings of kernel IPVS |\n|---|---|" + strings.Repeat("---|", len(proofs)) + "---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s |", r.method, r.families())
		for _, p := range proofs {
			fmt.Fprintf(&b, " %s |", p.end(&r))
		}
		var scenarios []string
		for _, name := range r.recorded {
			scenarios = append(scenarios, fmt.Sprintf("`%s` %s", name, farOfScenario(t, name)))
		}
		fmt.Fprintf(&b, " %s |\n", cmp.Or(strings.Join(scenarios, ", "), "**no recording**"))
	}
	return b.String()
}

// farOfScenario is what a recorded scenario's servers are when natlb plays it on a
// host whose kernel has neither SCTP nor tunnel devices.
func farOfScenario(t *testing.T, name string) far {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../tools/oracle/scenarios/open", name+".json"))
	must(t, err)
	var scenario struct {
		SCTP int
		Tun  []string
	}
	must(t, json.Unmarshal(text, &scenario))
	switch {
	case scenario.SCTP != 0 || slices.Contains(scenario.Tun, "ip6tnl"):
		return guestKernel
	case len(scenario.Tun) > 0:
		return labReceiver
	}
	return hostKernel
}
