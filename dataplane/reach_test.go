package dataplane_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/sched"
)

// lossy is a service with two servers in one family.
type lossy struct {
	name, rules string
	vip         netip.AddrPort
	client      netip.Addr
	lost, stays netip.AddrPort
}

var lossyWorlds = []lossy{
	{
		"IPv4", "-A -t 10.10.1.1:80 -s rr\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 2\n-a -t 10.10.1.1:80 -r 10.20.0.12:8080 -m -w 3\n",
		netip.MustParseAddrPort("10.10.1.1:80"), netip.MustParseAddr("10.10.3.5"),
		netip.MustParseAddrPort("10.20.0.11:8080"), netip.MustParseAddrPort("10.20.0.12:8080"),
	}, {
		"IPv6", "-A -t [fd10:1::1]:80 -s rr\n-a -t [fd10:1::1]:80 -r [fd20::11]:8080 -m -w 2\n-a -t [fd10:1::1]:80 -r [fd20::12]:8080 -m -w 3\n",
		netip.MustParseAddrPort("[fd10:1::1]:80"), netip.MustParseAddr("fd10:3::5"),
		netip.MustParseAddrPort("[fd20::11]:8080"), netip.MustParseAddrPort("[fd20::12]:8080"),
	},
}

// neighbour says what the host knows of a next hop from now on.
func (w *world) neighbour(a netip.Addr, state packettest.Neighbour) {
	w.setHost(func(h *packettest.Host) { h.Neighbours[a] = state })
}

// second lets a second pass, and returns the addresses that are asked for again.
func (w *world) second() (asked []string) {
	w.now += time.Second
	for _, r := range w.dir.Reach(w.now) {
		if r.Dst != 0 {
			asked = append(asked, dataplane.Addr4(r.Dst).String())
		} else {
			asked = append(asked, r.Dst6.Addr().String())
		}
	}
	return asked
}

// opens lets clients begin n connections from fresh ports, and returns how many each
// server got.
func (w *world) opens(l *lossy, port uint16, n int) map[netip.AddrPort]int {
	before := map[netip.AddrPort]bool{}
	for _, c := range w.conns() {
		before[c.Client] = true
	}
	for i := range n {
		w.batch(frame(vipLink, packettest.Packet{Proto: 6, DF: true, Flags: "S", Src: netip.AddrPortFrom(l.client, port+uint16(i)), Dst: l.vip}.Frame()))
	}
	got := map[netip.AddrPort]int{}
	for _, c := range w.conns() {
		if !before[c.Client] {
			got[c.Dest]++
		}
	}
	return got
}

func (w *world) destination(addr netip.AddrPort) ipvs.DestinationStatus {
	for _, s := range w.dir.Services() {
		for _, d := range s.Destinations {
			if d.Addr == addr {
				return d
			}
		}
	}
	return ipvs.DestinationStatus{}
}

func TestUnreachableServer(t *testing.T) {
	for _, l := range lossyWorlds {
		t.Run(l.name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, l.rules)
			rip := l.lost.Addr()
			if asked := w.second(); asked != nil || w.told() != "" {
				t.Errorf("all is well, and asked are %v", asked)
			}
			w.neighbour(rip, packettest.Unresolved)
			if asked := w.second(); asked != nil || w.destination(l.lost).Reach != (ipvs.Reach{}) {
				t.Errorf("a neighbour that nobody has asked for is lost: %v", asked)
			}
			w.neighbour(rip, packettest.Failed)
			w.opens(&l, 1000, 2)
			asked := w.second()
			w.second()
			w.expect(t, "lost", fmt.Sprintf("server-unreachable TCP %v %v weight 0>2\n", l.vip, l.lost))
			w.now += 5 * time.Second
			w.batch() // gives up what waits
			if d := w.destination(l.lost); d.Reach != (ipvs.Reach{Unreachable: true, For: 6 * time.Second, Lost: 1}) || d.Weight != 2 {
				t.Errorf("listed as %+v", d)
			}
			if !slices.Equal(asked, []string{rip.String()}) {
				t.Errorf("asked again: %v, want the lost server", asked)
			}
			if got := w.opens(&l, 2000, 4); got[l.lost] != 2 {
				t.Errorf("by default the server gets its connections, got %v", got)
			}
			w.neighbour(rip, packettest.Unresolved)
			if asked := w.second(); len(asked) != 1 || w.told() != "" {
				t.Errorf("while it is asked for it is as lost as before; asked %v", asked)
			}
			w.neighbour(rip, packettest.Reachable)
			if asked := w.second(); asked != nil {
				t.Errorf("asked for after it has answered: %v", asked)
			}
			w.expect(t, "back", fmt.Sprintf("server-reachable TCP %v %v weight 0>2\n", l.vip, l.lost))
			if d := w.destination(l.lost); d.Reach.Unreachable || d.Reach.For != 0 {
				t.Errorf("listed as %+v", d.Reach)
			}
		})
	}
}

func TestQuiesceUnreachable(t *testing.T) {
	for _, l := range lossyWorlds {
		t.Run(l.name, func(t *testing.T) {
			w := newWorld(func(c *dataplane.Config) { c.Quiesce = true })
			w.mustRules(t, l.rules)
			if got := w.opens(&l, 1000, 2); got[l.lost] != 1 {
				t.Fatalf("all is well, and the servers get %v", got)
			}
			w.neighbour(l.lost.Addr(), packettest.Failed)
			w.second()
			if got := w.opens(&l, 2000, 3); got[l.lost] != 0 || got[l.stays] != 3 {
				t.Errorf("while one is lost the servers get %v", got)
			}
			if d := w.destination(l.lost); d.Weight != 2 || !d.Reach.Withheld {
				t.Errorf("listed with weight %d, %+v; want the one that it was given", d.Weight, d.Reach)
			}
			for _, c := range w.conns() {
				if c.Dest != l.lost {
					continue
				}
				v := w.batch(frame(vipLink, packettest.Packet{Proto: 6, DF: true, Flags: "A", Src: c.Client, Dst: l.vip}.Frame()))
				if v[0] != dataplane.HeldNeighbour {
					t.Errorf("a packet of a connection to the lost server: %v, want that it waits", v)
				}
			}
			w.neighbour(l.stays.Addr(), packettest.Failed)
			w.second()
			packet := packettest.Packet{Proto: 6, DF: true, Flags: "S", Src: netip.AddrPortFrom(l.client, 2999), Dst: l.vip}
			if v := w.batch(frame(vipLink, packet.Frame())); v[0] != dataplane.AnswerNoDestination {
				t.Errorf("with all servers lost: %v", v)
			}
			w.neighbour(l.lost.Addr(), packettest.Stale)
			w.second()
			if got := w.opens(&l, 3000, 3); got[l.lost] != 3 {
				t.Errorf("after one is back the servers get %v", got)
			}
		})
	}
}

// TestQuiesceUnreachableAtRunTime: the setting holds at once, and for servers that
// are added or edited while they are lost.
func TestQuiesceUnreachableAtRunTime(t *testing.T) {
	l := lossyWorlds[0]
	w := newWorld(nil)
	w.mustRules(t, l.rules)
	w.neighbour(l.lost.Addr(), packettest.Failed)
	w.second()
	w.mustRules(t, "sysctl quiesce_unreachable=1\n")
	if got := w.opens(&l, 1000, 2); got[l.lost] != 0 {
		t.Errorf("set to 1: %v", got)
	}
	w.mustRules(t, "-e -t 10.10.1.1:80 -r 10.20.0.11:8080 -m -w 7\n")
	if got := w.opens(&l, 2000, 2); got[l.lost] != 0 || w.destination(l.lost).Weight != 7 {
		t.Errorf("given another weight: %v", got)
	}
	w.mustRules(t, "-d -t 10.10.1.1:80 -r 10.20.0.11:8080\n-a -t 10.10.1.1:80 -r 10.20.0.11:8080 -m\n")
	if got := w.opens(&l, 3000, 2); got[l.lost] != 0 || !w.destination(l.lost).Reach.Withheld {
		t.Errorf("deleted and added: %v", got)
	}
	w.mustRules(t, "sysctl quiesce_unreachable=0\n")
	if got := w.opens(&l, 4000, 2); got[l.lost] != 1 || !w.destination(l.lost).Reach.Unreachable {
		t.Errorf("set to 0: %v", got)
	}
}

// TestNoWayToServer: without a route, or by an interface that is not the director's,
// a server is as unreachable as without a neighbour.
func TestNoWayToServer(t *testing.T) {
	for _, kind := range []dataplane.HopKind{dataplane.HopNone, dataplane.HopElsewhere} {
		w := newWorld(nil)
		w.mustRules(t, lossyWorlds[0].rules)
		w.setHost(func(h *packettest.Host) {
			h.Routes = append(h.Routes, packettest.Route{Prefix: netip.MustParsePrefix("10.20.0.11/32"), Kind: kind})
		})
		if asked := w.second(); len(asked) > 0 || !w.destination(lossyWorlds[0].lost).Reach.Unreachable || w.destination(lossyWorlds[0].stays).Reach.Unreachable {
			t.Errorf("way %v: asked %v, %+v", kind, asked, w.dir.Unreachable())
		}
		w.opens(&lossyWorlds[0], 1000, 2)
		if n := w.destination(lossyWorlds[0].lost).Reach.Lost; n != 1 {
			t.Errorf("way %v: %d packets lost, want 1", kind, n)
		}
	}
	if early := dataplane.NewDirector(dataplane.Config{}).Reach(time.Second); early != nil {
		t.Errorf("before the first look at the host: %v", early)
	}
}

// TestReaskedInTurns: of very many lost servers each is asked for in its turn, and a
// router once for all beyond it.
func TestReaskedInTurns(t *testing.T) {
	w := newWorld(nil)
	var rules strings.Builder
	rules.WriteString("-A -t 10.10.1.1:80\n")
	const direct, beyond = 200, 40
	router := netip.MustParseAddr("10.20.0.254")
	for i := range direct + beyond {
		fmt.Fprintf(&rules, "-a -t 10.10.1.1:80 -r 10.20.%d.%d:80 -m\n", i/direct, i%direct+2)
	}
	w.mustRules(t, rules.String())
	w.setHost(func(h *packettest.Host) {
		h.Routes = append(h.Routes, packettest.Route{Prefix: netip.MustParsePrefix("10.20.1.0/24"), Kind: dataplane.HopForward, Link: dipLink, Via: router})
		h.Neighbours[router] = packettest.Failed
		for i := range direct {
			h.Neighbours[netip.AddrFrom4([4]byte{10, 20, 0, byte(i + 2)})] = packettest.Failed
		}
	})
	times := map[string]int{}
	for range 2 {
		asked := w.second()
		if len(asked) > 128 {
			t.Errorf("%d asked for at once", len(asked))
		}
		for _, a := range asked {
			times[a]++
		}
	}
	if len(times) != direct+1 {
		t.Errorf("%d next hops were asked for in two seconds, want %d", len(times), direct+1)
	}
	if n := len(w.dir.Unreachable()); n != direct+beyond {
		t.Errorf("%d servers are unreachable, want %d", n, direct+beyond)
	}
}

// TestWithheldIsWeightZero: to every scheduler a server that is lost is one whose
// weight was edited to 0, and one that is back one that was edited again.
func TestWithheldIsWeightZero(t *testing.T) {
	const servers = 4
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(sched.Names()).Draw(t, "scheduler")
		lost, edited := newWorld(func(c *dataplane.Config) { c.Quiesce = true }), newWorld(nil)
		line := func(i int, command string, weight int) string {
			return fmt.Sprintf("%s -t 10.10.1.1:80 -r 10.20.0.%d:80 -m -w %d\n", command, 11+i, weight)
		}
		rules := "-A -t 10.10.1.1:80 -s " + name + "\n"
		var weights [servers]int
		for i := range weights {
			weights[i] = rapid.IntRange(0, 4).Draw(t, "weight")
			rules += line(i, "-a", weights[i])
		}
		for _, w := range []*world{lost, edited} {
			if err := w.rules(rules); err != nil {
				t.Fatal(err)
			}
		}
		var gone [servers]bool
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch i := rapid.IntRange(0, servers-1).Draw(t, "server"); rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				gone[i] = !gone[i]
				state, weight := packettest.Reachable, weights[i]
				if gone[i] {
					state, weight = packettest.Failed, 0
				}
				lost.neighbour(netip.AddrFrom4([4]byte{10, 20, 0, byte(11 + i)}), state)
				lost.dir.Reach(lost.now)
				if weights[i] != 0 { // else nothing has changed
					must(t, edited.rules(line(i, "-e", weight)))
				}
			case 1:
				if gone[i] && name == "mh" {
					continue // remembers the last weight above 0, which the other world would not see
				}
				weights[i] = rapid.IntRange(0, 4).Draw(t, "new weight")
				now := weights[i]
				if gone[i] {
					now = 0
				}
				must(t, lost.rules(line(i, "-e", weights[i])))
				must(t, edited.rules(line(i, "-e", now)))
			default:
				for k := range 3 {
					src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 10, 3, byte(step)}), uint16(1000+k))
					p := packettest.Packet{Proto: 6, DF: true, Flags: "S", Src: src, Dst: lossyWorlds[0].vip}
					lost.batch(frame(vipLink, p.Frame()))
					edited.batch(frame(vipLink, p.Frame()))
				}
			}
			if a, b := picks(lost), picks(edited); a != b {
				t.Fatalf("%s, step %d: lost and edited servers differ:\n%s\n%s", name, step, a, b)
			}
		}
	})
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// picks returns which server each client has got.
func picks(w *world) string {
	var lines []string
	for _, c := range w.conns() {
		lines = append(lines, fmt.Sprintf("%v %v", c.Client, c.Dest))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// TestExplainWithheld: explain says why a lost server is not picked, with the weight
// that it was given.
func TestExplainWithheld(t *testing.T) {
	l := lossyWorlds[0]
	w := newWorld(func(c *dataplane.Config) { c.Quiesce = true })
	w.mustRules(t, l.rules)
	w.neighbour(l.lost.Addr(), packettest.Failed)
	w.second()
	x, err := w.dir.Explain(ipvs.Question{Proto: ipvs.TCP, Client: netip.AddrPortFrom(l.client, 9), Virtual: l.vip})
	if err != nil || x.Pick == nil {
		t.Fatalf("Explain: %v, %+v", err, x)
	}
	for _, c := range x.Pick.Candidates {
		if c.Address == l.lost && (c.Out != "unreachable" || c.Weight != 2) || c.Address == l.stays && !c.Picked {
			t.Errorf("candidate %+v", c)
		}
	}
}
