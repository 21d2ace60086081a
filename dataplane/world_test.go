package dataplane_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"natlb/dataplane"
	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
)

// The network around the director under test:
//
//	clients 10.10.2.0/23 ── vip (10.10.0.1) director dip (10.20.0.1) ── servers 10.20.0.0/24
//	        fd10::/32           (fd10::1)            (fd20::1)                  fd20::/64
const (
	vipLink = 0
	dipLink = 1
)

var linkNames = []string{"vip", "dip"}

// world is a director with one shard, its host and its clock.
type world struct {
	dir    *dataplane.Director
	shard  *dataplane.Shard
	host   *packettest.Host
	now    time.Duration
	frames uint64   // handed to Process
	ftp    []uint16 // ports with the FTP helper
	mirror *mirror  // another director that gets the same, or nil
}

func testHost() *packettest.Host {
	prefix := netip.MustParsePrefix
	return &packettest.Host{
		Links: []dataplane.LinkState{
			{MAC: packettest.MAC("02:00:00:00:01:01"), MTU: 1500, Up: true, Addr: 0x0a0a0001, Addr6: rewrite.Addr6Of(netip.MustParseAddr("fd10::1"))},
			{MAC: packettest.MAC("02:00:00:00:02:01"), MTU: 1500, Up: true, Addr: 0x0a140001, Addr6: rewrite.Addr6Of(netip.MustParseAddr("fd20::1"))},
		},
		Locals: map[netip.Addr]bool{
			netip.MustParseAddr("10.10.0.1"): true, netip.MustParseAddr("10.20.0.1"): true,
			netip.MustParseAddr("fd10::1"): true, netip.MustParseAddr("fd20::1"): true,
		},
		Routes: []packettest.Route{
			{Prefix: prefix("10.10.0.0/16"), Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: prefix("10.20.0.0/24"), Kind: dataplane.HopForward, Link: dipLink},
			{Prefix: prefix("fd10::/32"), Kind: dataplane.HopForward, Link: vipLink},
			{Prefix: prefix("fd20::/64"), Kind: dataplane.HopForward, Link: dipLink},
		},
		Neighbours: map[netip.Addr]packettest.Neighbour{},
	}
}

// newWorld returns a director in its network; change may be nil.
func newWorld(change func(*dataplane.Config)) *world {
	w := &world{now: 1000 * time.Second, host: testHost()}
	cfg := dataplane.Config{
		Links: []dataplane.Link{
			{Name: "vip", Side: dataplane.VIPSide, Caps: dataplane.Caps{Offload: true}},
			{Name: "dip", Side: dataplane.DIPSide, Caps: dataplane.Caps{Offload: true}},
		},
		Seed:  7,
		Clock: func() time.Duration { return w.now },
	}
	if change != nil {
		change(&cfg)
	}
	w.ftp = cfg.FTPPorts
	w.dir = dataplane.NewDirector(cfg)
	w.shard = w.dir.Shard(0)
	w.dir.SetHost(w.host)
	return w
}

// rules applies lines of ipvsadm's rules grammar as one transaction.
func (w *world) rules(text string) error {
	rules, err := ipvsadm.ParseRules(strings.NewReader(text), "rules")
	if err != nil {
		return err
	}
	return w.apply(rules.Changes)
}

func (w *world) apply(changes []ipvs.Change) error {
	if w.mirror != nil {
		w.mirror.dir.Apply(changes)
	}
	return w.dir.Apply(changes)
}

func (w *world) mustRules(t testing.TB, text string) {
	t.Helper()
	if err := w.rules(text); err != nil {
		t.Fatalf("rules %q: %v", text, err)
	}
}

// sysctl sets one setting.
func (w *world) sysctl(name, value string) error {
	return w.apply([]ipvs.Change{{Kind: ipvs.SetSysctl, Name: name, Value: value}})
}

// setHost changes a copy of the host and publishes it.
func (w *world) setHost(change func(*packettest.Host)) {
	w.host = w.host.Clone()
	change(w.host)
	w.dir.SetHost(w.host)
	if w.mirror != nil {
		w.mirror.dir.SetHost(w.host)
	}
}

// housekeep lets the director do what it does once a second.
func (w *world) housekeep() {
	w.dir.Housekeep(w.now)
	if w.mirror != nil {
		w.mirror.dir.Housekeep(w.now)
	}
}

// batch processes frames and returns their verdicts. The output stands until
// the next one.
func (w *world) batch(fs ...dataplane.Frame) []dataplane.Verdict {
	if w.mirror != nil {
		w.mirror.batch(w.now, fs)
	}
	w.shard.Begin(w.now)
	var out []dataplane.Verdict
	for i := range fs {
		out = append(out, w.shard.Process(&fs[i], w.now))
		w.frames++
	}
	w.shard.End()
	return out
}

// frame returns b as received by a link.
func frame(link uint8, b []byte) dataplane.Frame {
	return dataplane.Frame{Data: b, WireLen: uint32(len(b)), Link: link}
}

// from gives p the MAC addresses of a packet that its source sends to link.
func (w *world) from(link uint8, p packettest.Packet) packettest.Packet {
	p.SrcMAC, p.DstMAC = packettest.NeighbourMAC(p.Src.Addr()), w.host.Links[link].MAC
	return p
}

// settle lets two hours pass without traffic, and then what it takes to end
// connections that controlled others.
func (w *world) settle() {
	w.now += 2 * time.Hour
	for range 40 {
		w.now += 2 * time.Second
		w.batch()
	}
}

func (w *world) conns() (all []ipvs.ConnStatus) {
	for c := range w.dir.Connections {
		all = append(all, c)
	}
	return all
}

// activeStates are the states that count as active connections.
var activeStates = []string{"ESTABLISHED", "SYN_RECV", "SYN_SENT", "SYNACK"}

// ledger says what does not add up, or nil: every frame has exactly one verdict,
// and the counts of every server are its entries in the table.
func (w *world) ledger() error {
	var errs []error
	sum := uint64(0)
	for _, c := range w.dir.Counters() {
		sum += c.Frames
		if c.Frames > w.frames {
			errs = append(errs, fmt.Errorf("%v: %d frames of %d", c.Verdict, c.Frames, w.frames))
		}
	}
	if sum != w.frames {
		errs = append(errs, fmt.Errorf("the verdicts count %d frames, %d were processed", sum, w.frames))
	}
	if l := w.dir.Ledger(); l.Received != w.frames || balance(l) != nil {
		errs = append(errs, fmt.Errorf("the ledger has %d frames received, %d were processed: %w", l.Received, w.frames, balance(l)))
	}
	conns := w.conns()
	for _, s := range w.dir.Services() {
		for _, d := range s.Destinations {
			active, inactive := int32(0), int32(0)
			for _, c := range conns {
				if s.Key.IsMark() {
					if c.Template || c.Service != s.Key || c.Dest.Addr() != d.Addr.Addr() {
						continue
					}
				} else if c.Template || c.Proto != s.Key.Proto || (c.Virtual != s.Key.VIP || c.Dest != d.Addr) && !w.data(c, s.Key.VIP, d.Addr) {
					continue
				}
				if slices.Contains(activeStates, c.State) {
					active++
				} else {
					inactive++
				}
			}
			if d.Active != active || d.Inactive != inactive {
				errs = append(errs, fmt.Errorf("%v server %v counts %d active and %d inactive connections, the table has %d and %d",
					s.Key, d.Addr, d.Active, d.Inactive, active, inactive))
			}
		}
	}
	return errors.Join(errs...)
}

// data reports whether c is a data connection of an FTP service on vip and its
// server. (A VIP of a test has no other service then.)
func (w *world) data(c ipvs.ConnStatus, vip, server netip.AddrPort) bool {
	return slices.Contains(w.ftp, vip.Port()) && c.Virtual.Addr() == vip.Addr() && c.Dest.Addr() == server.Addr()
}

// leftovers says what is still there after settle, or nil.
func (w *world) leftovers() error {
	errs := []error{w.ledger()}
	if n := len(w.conns()); n != 0 {
		errs = append(errs, fmt.Errorf("%d connections left", n))
	}
	for _, c := range w.dir.Counters() {
		if held := c.Verdict == dataplane.HeldFragment || c.Verdict == dataplane.HeldNeighbour; held && c.Frames != 0 {
			errs = append(errs, fmt.Errorf("%d frames left in %v", c.Frames, c.Verdict))
		}
	}
	return errors.Join(errs...)
}

// output returns what the last batch sent, asked and told, a line each.
func (w *world) output() (lines []string) {
	for _, f := range w.shard.Output() {
		if f.Link == dataplane.HostLink {
			lines = append(lines, "to the host "+packettest.DescribeFrame(&f))
			continue
		}
		line := fmt.Sprintf("out %s %s", linkNames[f.Link], packettest.DescribeFrame(&f)+said(f.Data))
		if want := w.host.Links[f.Link].MAC; [6]byte(f.Data[6:12]) != want {
			line += fmt.Sprintf(" WRONG-SOURCE-MAC %v", net.HardwareAddr(f.Data[6:12]))
		}
		lines = append(lines, line)
	}
	for _, r := range w.shard.Unresolved() {
		dst := dataplane.Addr4(r.Dst)
		if r.Dst == 0 {
			dst = r.Dst6.Addr()
		}
		lines = append(lines, fmt.Sprintf("resolve %s %v", linkNames[r.Link], dst))
	}
	for _, e := range w.dir.TakeEvents(nil) {
		switch e.Kind {
		case ipvs.EventVIPConflict:
			lines = append(lines, fmt.Sprintf("event conflict %v %v %s", e.VIP, net.HardwareAddr(e.MAC[:]), e.Link))
		case ipvs.EventLocalServer:
			lines = append(lines, fmt.Sprintf("event local-server %v %v %v", e.Service, e.Server, e.Method))
		}
	}
	return lines
}
