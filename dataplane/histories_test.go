package dataplane_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"natlb/conntrack"
	"natlb/dataplane"
	"natlb/internal/packettest"
	"natlb/ipvs"
	"natlb/rewrite"
	"natlb/sched"

	"pgregory.net/rapid"
)

// A history is what may happen to a director from its start to its rest: clients
// and real servers that send what they like in any order, whole, in pieces and as
// errors about each other; an operator who changes services, servers and settings
// under their feet; and time. All of it is few and near together, so that
// everything meets everything.
type history struct {
	*world
	drivers []*dataplane.Driver
	doors   []netip.AddrPort  // of the first services: where clients mostly knock
	entries []dataplane.Entry // copies of all connections, as of the last step
}

// TestHistories plays random histories. After every step the director must agree
// with a walk over its entries (Director.Audit); after two hours without traffic
// nothing may be left of any of it.
//
// It plays a few thousand, NATLB_HISTORIES of them if that is set; see make
// histories.
func TestHistories(t *testing.T) {
	hundreds := 25
	if raceDetector {
		hundreds = 2
	}
	if s := os.Getenv("NATLB_HISTORIES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("NATLB_HISTORIES is %q, want a number", s)
		}
		hundreds = (n + 99) / 100
	}
	var left, played, steps atomic.Int64
	left.Store(int64(hundreds))
	start := time.Now()
	t.Run("players", func(players *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			players.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				arenas := make([][]byte, 2*maxHistoryShards)
				for i := range arenas {
					arenas[i] = make([]byte, 1<<20)
				}
				for left.Add(-1) >= 0 {
					rapid.Check(quiet{t}, func(t *rapid.T) { // rapid.checks of them, 100
						steps.Add(playHistory(t, arenas))
						if n := played.Add(1); n%100_000 == 0 {
							players.Logf("%d histories after %v", n, time.Since(start).Round(time.Second))
						}
					})
				}
			})
		}
	})
	t.Logf("%d histories of %d steps in all were played in %v", played.Load(), steps.Load(), time.Since(start).Round(time.Second))
}

// quiet is a test that does not hear of every hundred histories.
type quiet struct{ *testing.T }

func (t quiet) Logf(format string, args ...any) {
	if t.Helper(); !strings.HasPrefix(format, "[rapid] OK") {
		t.T.Logf(format, args...)
	}
}

const maxHistoryShards = 3

// playHistory plays one history and returns how many steps it had.
func playHistory(t *rapid.T, arenas [][]byte) (steps int64) {
	h := newHistory(t, arenas)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	h.found(t)
	t.Repeat(map[string]func(*rapid.T){
		"": func(*rapid.T) {
			steps++
			check(h.look())
		},
		"open":      h.open,
		"open more": h.open,
		"burst":     h.burst,
		"greet":     h.greet,
		"talk":      h.talk,
		"go on":     h.goOn,
		"answer":    h.answer,
		"complain":  h.complain,
		"stray":     h.stray,
		"services":  h.changeServices,
		"servers":   h.changeServers,
		"settings":  h.changeSettings,
		"host":      h.changeHost,
		"defend":    h.defend,
		"time":      h.pass,
	})
	check(h.rest(historyBool.Draw(t, "at once")))
	return steps
}

func newHistory(t *rapid.T, arenas [][]byte) *history {
	n := rapid.IntRange(1, maxHistoryShards).Draw(t, "shards")
	h := &history{world: newWorld(func(c *dataplane.Config) {
		c.Shards = n
		c.MaxConns = historyCaps.Draw(t, "max conns")
		c.NoRoute = historyBool.Draw(t, "no route")
		c.Links[dipLink].Caps.Offload = historyBool.Draw(t, "offload")
		if historyRare.Draw(t, "ftp") < 3 {
			c.FTPPorts = []uint16{21}
		}
		if historyBool.Draw(t, "limits") {
			c.ICMP = dataplane.DefaultICMPLimits
		}
	})}
	for i := range n {
		h.drivers = append(h.drivers, h.dir.NewDriver(i, func([]dataplane.Frame, []dataplane.Resolve) {}))
		h.drivers[i].LendArenas(arenas[2*i], arenas[2*i+1])
	}
	return h
}

// look compares everything that the director counts with its entries.
func (h *history) look() error {
	h.entries = h.entries[:0]
	for c := range h.dir.Entries {
		h.entries = append(h.entries, c)
	}
	sum := uint64(0)
	for _, c := range h.dir.Counters() {
		sum += c.Frames
	}
	err := h.dir.Audit()
	if sum != h.frames {
		err = errors.Join(err, fmt.Errorf("the verdicts count %d frames, %d were processed", sum, h.frames))
	}
	return err
}

// listing compares what listings show with the tables.
func (h *history) listing() error {
	conns, templates := 0, 0
	for c := range h.dir.Connections {
		if c.Template {
			templates++
		} else {
			conns++
		}
	}
	wantConns, wantTemplates := h.dir.Counts()
	if conns != wantConns || templates != wantTemplates {
		return fmt.Errorf("the listing has %d connections and %d templates, the tables have %d and %d", conns, templates, wantConns, wantTemplates)
	}
	for _, s := range h.dir.Services() {
		for _, d := range s.Destinations {
			conns -= int(d.Active + d.Inactive)
			templates -= int(d.PersistConns)
		}
	}
	if conns < 0 || templates < 0 {
		return fmt.Errorf("services list %d connections and %d templates that there are not", -conns, -templates)
	}
	return nil
}

// longest is how long anything may live after the last packet: an established
// connection, then what waited for it in steps of a minute, and the trash.
const longest = 900*time.Second + 4*time.Minute + 5*time.Minute

// rest lets time pass without traffic until nothing can be left, at once or in
// steps, and says what is left.
func (h *history) rest(atOnce bool) error {
	if err := h.listing(); err != nil {
		return err
	}
	if atOnce {
		h.now += 900 * time.Second
		h.frame()
	}
	for end := h.now + longest; h.now < end; h.now += 10 * time.Second {
		h.frame()
		h.dir.Housekeep(h.now)
	}
	err := errors.Join(h.look(), h.listing(), h.dir.Remains())
	for _, s := range h.dir.Services() {
		for _, d := range s.Destinations {
			if d.Active != 0 || d.Inactive != 0 || d.PersistConns != 0 || d.Overloaded {
				err = errors.Join(err, fmt.Errorf("%v server %v rests with %d active, %d inactive, %d persistent connections, overloaded: %v",
					s.Key, d.Addr, d.Active, d.Inactive, d.PersistConns, d.Overloaded))
			}
		}
	}
	return err
}

// frame gives each shard a batch, one after the other, with those of the frames
// that come to it.
func (h *history) frame(fs ...dataplane.Frame) {
	var batches [maxHistoryShards][]dataplane.Frame
	for _, f := range fs {
		i := comesTo(&f, len(h.drivers)) // before it is rewritten
		batches[i] = append(batches[i], f)
	}
	for i, d := range h.drivers {
		d.Batch(batches[i], h.now)
	}
	h.frames += uint64(len(fs))
}

// comesTo is a way to spread frames that keeps the pieces of a packet together, as
// the kernel does, and is otherwise wrong as often as not.
func comesTo(f *dataplane.Frame, shards int) int {
	b := f.Data
	if b[12] == 0x86 {
		sum := int(b[37]) + int(b[53])
		if rewrite.CarriesPorts(b[20]) && len(b) > 57 {
			sum += int(b[55]) + int(b[57])
		}
		return sum % shards
	}
	sum := int(b[29]) + int(b[33])
	if (b[23] == 6 || b[23] == 17 || b[23] == 132) && binary.BigEndian.Uint16(b[20:])&0x3fff == 0 {
		sum += int(b[35]) + int(b[37])
	}
	return sum % shards
}

// deliver sends a packet into link, perhaps in pieces, perhaps as a super-packet.
func (h *history) deliver(t *rapid.T, link uint8, p packettest.Packet) {
	b := h.from(link, p).Frame()
	f := frame(link, b)
	switch form := historyForms.Draw(t, "form"); {
	case form == 1 && len(b) > 42:
		var pieces [][]byte
		if size := 8 * rapid.IntRange(1, 3).Draw(t, "eights"); p.Src.Addr().Is6() {
			pieces = packettest.Fragments6(b, size, uint32(h.frames))
		} else {
			pieces = packettest.Fragments(b, size)
		}
		if historyBool.Draw(t, "backwards") {
			slices.Reverse(pieces)
		}
		if historyBool.Draw(t, "repeated") {
			pieces = append([][]byte{slices.Clone(pieces[0])}, pieces...)
		}
		for i := range pieces {
			if i > 0 && historyRare.Draw(t, "lost") == 0 {
				continue
			}
			h.frame(frame(link, pieces[i]))
		}
		return
	case form == 2 && (p.Proto == 6 || p.Proto == 17 || p.Proto == 132):
		f = packettest.Partial(b, 0)
		if len(p.Payload) > 8 {
			f = packettest.Partial(b, 8)
		}
		f.Link = link
	}
	h.frame(f)
}

// What histories are made of. Generators are made once: there are millions of
// draws.
var (
	historyBool  = rapid.Bool()
	historyRare  = rapid.IntRange(0, 7)
	historyCaps  = rapid.SampledFrom([]int{0, 0, 2, 5, 12})
	historyForms = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 2})

	historyKeys = rapid.SampledFrom([]ipvs.ServiceKey{
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}, {Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:80")},
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:443")}, {Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("10.10.1.1:53")},
		{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.1:21")}, {Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("10.10.1.2:0")},
		{Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("10.10.1.2:0")}, {Proto: ipvs.SCTP, VIP: netip.MustParseAddrPort("10.10.1.1:80")}, {Mark: 5},
	})
	historyServers = rapid.SampledFrom([]netip.AddrPort{
		netip.MustParseAddrPort("10.20.0.11:80"), netip.MustParseAddrPort("10.20.0.11:8080"), netip.MustParseAddrPort("10.20.0.12:80"),
		netip.MustParseAddrPort("10.20.0.12:0"), netip.MustParseAddrPort("10.20.0.13:21"), netip.MustParseAddrPort("10.20.0.1:80"), // the director
		netip.MustParseAddrPort("192.0.2.1:80"), // no way there
	})
	historyMethods    = rapid.SampledFrom([]ipvs.ForwardMethod{ipvs.Masq, ipvs.Masq, ipvs.Masq, ipvs.Masq, ipvs.FullNAT, ipvs.FullNAT, ipvs.Route, ipvs.Tunnel})
	historySchedulers = rapid.SampledFrom(slices.DeleteFunc(sched.Names(), func(s string) bool { return s == "mh" })) // mh: a table of 4093 each time
	historyPersist    = rapid.SampledFrom([]uint32{1, 30, 300})
	historyWildcards  = rapid.SampledFrom([]uint32{0, 0xff, 0xffffffff})
	historyWeights    = rapid.SampledFrom([]int32{0, 1, 1, 2, 5})
	historyThresholds = rapid.Uint32Range(0, 4)
	historyClients    = rapid.SampledFrom([]netip.Addr{
		netip.MustParseAddr("10.10.3.1"), netip.MustParseAddr("10.10.3.2"), netip.MustParseAddr("10.10.3.129"),
	})
	historyCPorts = rapid.SampledFrom([]uint16{4000, 4001, 4002, 4003, 4000, 4001, 20, 0})
	historyDoors  = rapid.SampledFrom([]netip.AddrPort{
		netip.MustParseAddrPort("10.10.1.1:80"), netip.MustParseAddrPort("10.10.1.1:80"), netip.MustParseAddrPort("10.10.1.1:443"),
		netip.MustParseAddrPort("10.10.1.1:53"), netip.MustParseAddrPort("10.10.1.1:21"), netip.MustParseAddrPort("10.10.1.1:20"),
		netip.MustParseAddrPort("10.10.1.2:80"), netip.MustParseAddrPort("10.10.1.2:7000"), netip.MustParseAddrPort("10.10.1.3:80"),
	})
	historyProtos  = rapid.SampledFrom([]uint8{6, 6, 17, 132})
	historyOpening = rapid.SampledFrom([]string{"S", "S", "S", "S", "SA", "A", "F", "R", ""})
	historyKnocks  = rapid.SampledFrom([]string{"INIT", "INIT", "INIT", "DATA", "ABORT", "COOKIE_ECHO+ABORT", ""})
	historyChunks  = rapid.SampledFrom(someChunks)
	historyFlags   = rapid.SampledFrom([]string{"S", "SA", "A", "PA", "A", "FA", "F", "R", "RA", ""})
	historyTTLs    = rapid.SampledFrom([]uint8{64, 64, 64, 64, 64, 1})
	historyLengths = rapid.SampledFrom([]int{0, 0, 9, 40})
	// 4000 and so on, that other clients also have, and ports of services.
	historyCommands = rapid.SampledFrom([]string{
		"PASV\r\n", "PASV\r\n", "EPSV\r\n", "PORT 10,10,3,1,15,162\r\n", "PORT 10,10,3,2,15,163\r\n", "PORT 10,10,1,1,0,21\r\n", "EPRT |1|10.10.3.1|4002|\r\n", "EPRT |2|fd10::3:1|4002|\r\n", "NOOP\r\n",
	})
	historyReplies = rapid.SampledFrom([]string{
		"227 (10,20,0,11,15,160)\r\n", "227 (10,20,0,11,15,160)\r\n", "227 =1,1,1,1,15,161\r\n", "227 (10,10,1,1,0,20)\r\n", "229 (|||4001|)\r\n", "200 ok\r\n",
	})
	historyErrors   = rapid.SampledFrom([]uint8{3, 3, 4, 11, 5})
	historyPauses   = rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 3 * time.Second, 11 * time.Second, 31 * time.Second, 61 * time.Second, 2 * time.Minute, 5 * time.Minute})
	historyPages    = rapid.SampledFrom([]int{100, 1 << 20})
	historySeconds  = rapid.SampledFrom([]uint32{0, 5, 60, 900})
	historySettings = rapid.SampledFrom([]string{
		"conn_reuse_mode=0", "conn_reuse_mode=1", "conn_reuse_mode=3", "expire_nodest_conn=0", "expire_nodest_conn=1", "expire_nodest_conn=1",
		"expire_quiescent_template=0", "expire_quiescent_template=1", "drop_entry=0", "drop_entry=1", "drop_entry=3", "drop_packet=0", "drop_packet=1",
		"drop_packet=3", "am_droprate=2", "secure_tcp=0", "secure_tcp=1", "secure_tcp=3", "sloppy_tcp=0", "sloppy_tcp=1", "sloppy_sctp=0", "sloppy_sctp=1", "schedule_icmp=0",
		"schedule_icmp=1", "nat_icmp_send=0", "nat_icmp_send=1",
	})
	historySources = rapid.SampledFrom([][]string{
		{"add", "10.20.0.240"}, {"add", "10.20.0.240", "fd20::f0"}, {"add", "10.20.0.241-10.20.0.242", "fd20::f0/127"},
		{"delete", "10.20.0.240"}, {"delete", "fd20::f0"}, {"add", "10.10.1.2"}, {"add", "10.10.3.9"},
	})
	historyMarks = rapid.SampledFrom([][]string{
		strings.Fields("-A PREROUTING -d 10.10.1.3/32 -j MARK --set-mark 5"), strings.Fields("-A PREROUTING -d 10.10.1.1/32 -p udp -j MARK --set-mark 5"),
		strings.Fields("-A PREROUTING -d 10.10.0.0/16 -p tcp -m tcp --dport 443 -j MARK --set-mark 5"), strings.Fields("-F"),
		strings.Fields("-6 -A PREROUTING -d fd10::1:3 -j MARK --set-mark 5"), strings.Fields("-6 -A PREROUTING -d fd10::/32 -p tcp -m tcp --dport 443 -j MARK --set-mark 5"),
	})
)

// six is the IPv6 address that stands for one of IPv4 in a history.
func six(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().Is4() {
		return a
	}
	b := a.Addr().As4()
	c := [16]byte{0: 0xfd, 1: b[1], 13: b[2], 15: b[3]}
	if b[1] == 20 {
		c[1] = 0x20
	} else if b[1] == 10 {
		c[1] = 0x10
	}
	return netip.AddrPortFrom(netip.AddrFrom16(c), a.Port())
}

// like gives a the family of other.
func like(a, other netip.AddrPort) netip.AddrPort {
	if other.Addr().Is6() {
		return six(a)
	}
	return a
}

// drawKey draws a service, of either family.
func drawKey(t *rapid.T) ipvs.ServiceKey {
	key := historyKeys.Draw(t, "service")
	switch {
	case !historyBool.Draw(t, "IPv6"):
	case key.IsMark():
		key.V6 = true
	default:
		key.VIP = six(key.VIP)
	}
	return key
}

// door draws where a client knocks.
func (h *history) door(t *rapid.T) netip.AddrPort {
	if historyRare.Draw(t, "elsewhere") == 0 {
		door := historyDoors.Draw(t, "door")
		if historyBool.Draw(t, "IPv6") {
			door = six(door)
		}
		return door
	}
	return h.doors[rapid.IntRange(0, len(h.doors)-1).Draw(t, "door")]
}

// open lets a client knock somewhere.
func (h *history) open(t *rapid.T) {
	p := packettest.Packet{
		Src: netip.AddrPortFrom(historyClients.Draw(t, "client"), historyCPorts.Draw(t, "port")), Dst: h.door(t),
		Proto: historyProtos.Draw(t, "proto"), Flags: historyOpening.Draw(t, "flags"), TTL: historyTTLs.Draw(t, "ttl"),
		Chunks: historyKnocks.Draw(t, "chunks"), DF: historyBool.Draw(t, "df"), Payload: make([]byte, historyLengths.Draw(t, "length")),
	}
	p.Src = like(p.Src, p.Dst)
	h.deliver(t, vipLink, p)
}

// burst lets a client open many connections in one batch.
func (h *history) burst(t *rapid.T) {
	p := packettest.Packet{Proto: historyProtos.Draw(t, "proto"), Flags: "S", Chunks: "INIT", Dst: h.door(t)}
	client := historyClients.Draw(t, "client")
	var fs []dataplane.Frame
	for i := range rapid.IntRange(2, 20).Draw(t, "connections") {
		p.Src = like(netip.AddrPortFrom(client, 5000+uint16(i)), p.Dst)
		fs = append(fs, frame(vipLink, h.from(vipLink, p).Frame()))
	}
	h.frame(fs...)
}

// pick draws a connection.
func (h *history) pick(t *rapid.T) *dataplane.Entry {
	if len(h.entries) == 0 {
		t.Skip("no connection")
	}
	return &h.entries[rapid.IntRange(0, len(h.entries)-1).Draw(t, "connection")]
}

// The ends of a connection, as the packets on both sides of the director have
// them.
func ends(c *dataplane.Entry) (client, virtual, server netip.AddrPort) {
	if c.Is(conntrack.V6) {
		e := &c.Ends
		return netip.AddrPortFrom(e.CIP.Addr(), c.CPort), netip.AddrPortFrom(e.VIP.Addr(), c.VPort), netip.AddrPortFrom(e.RIP.Addr(), c.RPort)
	}
	at := func(a uint32, port uint16) netip.AddrPort { return netip.AddrPortFrom(dataplane.Addr4(a), port) }
	return at(c.CIP, c.CPort), at(c.VIP, c.VPort), at(c.RIP, c.RPort)
}

// seen returns the client's end as the real server sees it.
func seen(c *dataplane.Entry, client netip.AddrPort) netip.AddrPort {
	if c.Local.IsValid() {
		return c.Local
	}
	return client
}

// greet lets client and real server of a connection shake hands.
func (h *history) greet(t *rapid.T) {
	c := h.pick(t)
	client, virtual, server := ends(c)
	chunks := []string{"INIT", "INIT_ACK", "COOKIE_ECHO", "COOKIE_ACK"}
	for i, flags := range []string{"S", "SA", "A", "A"} {
		p, link := packettest.Packet{Src: client, Dst: virtual, Proto: c.Proto, Flags: flags, Chunks: chunks[i]}, uint8(vipLink)
		if i%2 == 1 {
			p.Src, p.Dst, link = server, seen(c, client), dipLink
		}
		h.frame(frame(link, h.from(link, p).Frame()))
	}
}

// talk lets client or real server of an FTP connection say something, or both.
func (h *history) talk(t *rapid.T) {
	control := slices.DeleteFunc(slices.Clone(h.entries), func(c dataplane.Entry) bool { return c.VPort != 21 || c.Proto != 6 })
	if len(control) == 0 {
		t.Skip("no FTP")
	}
	client, virtual, server := ends(&control[rapid.IntRange(0, len(control)-1).Draw(t, "connection")])
	command := packettest.Packet{Src: client, Dst: virtual, Proto: 6, Flags: "PA", Payload: []byte(historyCommands.Draw(t, "command"))}
	reply := packettest.Packet{
		Src: server, Dst: client, Proto: 6, Flags: "PA", Payload: []byte(historyReplies.Draw(t, "reply")),
		Seq: rapid.Uint32Range(0, 60).Draw(t, "seq"),
	}
	h.deliver(t, vipLink, command)
	h.deliver(t, dipLink, reply)
}

// goOn lets the client of a connection send something, answer its real server.
func (h *history) goOn(t *rapid.T) {
	c := h.pick(t)
	client, virtual, _ := ends(c)
	if client.Port() == 0 {
		client = netip.AddrPortFrom(client.Addr(), historyCPorts.Draw(t, "port"))
	}
	h.deliver(t, vipLink, h.segment(t, c, client, virtual))
}

func (h *history) answer(t *rapid.T) {
	c := h.pick(t)
	client, virtual, server := ends(c)
	if !c.Masq() && !c.Full() {
		server = virtual
	}
	h.deliver(t, dipLink, h.segment(t, c, server, seen(c, client)))
}

func (h *history) segment(t *rapid.T, c *dataplane.Entry, src, dst netip.AddrPort) packettest.Packet {
	p := packettest.Packet{Src: src, Dst: dst, Proto: c.Proto, TTL: historyTTLs.Draw(t, "ttl")}
	p.Chunks = historyChunks.Draw(t, "chunks")
	p.Flags, p.Payload = historyFlags.Draw(t, "flags"), make([]byte, historyLengths.Draw(t, "length"))
	return p
}

// complain sends an ICMP error about a packet of a connection, or of none.
func (h *history) complain(t *rapid.T) {
	var c dataplane.Entry
	if len(h.entries) > 0 {
		c = *h.pick(t)
	} else {
		c.Conn = conntrack.Conn{CIP: 0x0a0a0301, CPort: 4000, VIP: 0x0a0a0101, VPort: 80, RIP: 0x0a14000b, RPort: 80, Proto: 6}
	}
	if historyRare.Draw(t, "other port") == 0 {
		c.CPort++
	}
	client, virtual, server := ends(&c)
	link, from, about := uint8(dipLink), server, packettest.Packet{Src: seen(&c, client), Dst: server, Proto: c.Proto}
	if historyBool.Draw(t, "client's") {
		link, from, about = vipLink, client, packettest.Packet{Src: virtual, Dst: client, Proto: c.Proto}
	}
	p := packettest.Packet{
		Src: from, Dst: about.Src, Proto: 1, Type: historyErrors.Draw(t, "type"), Payload: about.Frame()[14:],
		BadSum: historyRare.Draw(t, "bad sum") == 0, TTL: historyTTLs.Draw(t, "ttl"),
	}
	if from.Addr().Is6() {
		p.Proto = 58
	}
	if from.Addr().Is6() != about.Src.Addr().Is6() {
		t.Skip("a tunnel to the other family")
	}
	h.deliver(t, link, p)
}

// stray is a real server's packet that may belong to nothing.
func (h *history) stray(t *rapid.T) {
	p := packettest.Packet{
		Src: historyServers.Draw(t, "server"), Dst: netip.AddrPortFrom(historyClients.Draw(t, "client"), historyCPorts.Draw(t, "port")),
		Proto: historyProtos.Draw(t, "proto"), Flags: historyFlags.Draw(t, "flags"), Chunks: historyChunks.Draw(t, "chunks"),
	}
	if historyBool.Draw(t, "IPv6") {
		p.Src, p.Dst = six(p.Src), six(p.Dst)
	}
	h.deliver(t, dipLink, p)
}

// found makes the first services.
func (h *history) found(t *rapid.T) {
	if historyRare.Draw(t, "no sources") > 0 {
		h.apply(t, ipvs.Change{Kind: ipvs.ChangeSources, Words: []string{"add", "10.20.0.240-10.20.0.241", "fd20::f0"}})
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "services") {
		key := drawKey(t)
		if i == 0 && len(h.ftp) > 0 {
			key = ipvs.ServiceKey{Proto: ipvs.TCP, VIP: ftpVIP}
		}
		h.apply(t, ipvs.Change{Kind: ipvs.AddService, Service: drawService(t, key)})
		for range rapid.IntRange(1, 3).Draw(t, "servers") {
			h.apply(t, ipvs.Change{Kind: ipvs.AddDestination, Service: ipvs.Service{Key: key}, Destination: drawServer(t, key)})
		}
		door := key.VIP
		switch {
		case key.IsMark():
			h.apply(t, ipvs.Change{Kind: ipvs.ChangeMarks, Words: historyMarks.Draw(t, "marks")})
			door = historyDoors.Draw(t, "door")
		case door.Port() == 0:
			door = netip.AddrPortFrom(door.Addr(), 7000)
		}
		h.doors = append(h.doors, door)
	}
}

// apply makes changes as one transaction. That it may be refused is no fault;
// what is not refused in part is another test's (TestApplyRefuses).
func (h *history) apply(t *rapid.T, changes ...ipvs.Change) {
	err := h.dir.Apply(changes)
	var refused *ipvs.ChangeError
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("Apply(%+v) = %v", changes, err)
	}
}

func drawService(t *rapid.T, key ipvs.ServiceKey) ipvs.Service {
	s := ipvs.Service{Key: key, Scheduler: historySchedulers.Draw(t, "scheduler")}
	if !key.IsMark() && key.VIP.Port() == 0 || historyRare.Draw(t, "persistent") < 3 {
		s.Flags |= ipvs.FlagPersistent
		s.PersistTimeout = historyPersist.Draw(t, "timeout")
		if s.Wildcard = historyWildcards.Draw(t, "wildcard"); key.Is6() {
			s.PrefixLen, s.Wildcard = uint8(s.Wildcard&0x40), 0
		}
	}
	if historyRare.Draw(t, "flags") == 0 {
		s.Flags |= ipvs.FlagSched1 | ipvs.FlagSched2
	}
	if (key.IsMark() || key.Proto == ipvs.UDP) && historyRare.Draw(t, "one-packet") < 3 {
		s.Flags |= ipvs.FlagOnePacket
	}
	return s
}

func drawServer(t *rapid.T, key ipvs.ServiceKey) ipvs.Destination {
	d := ipvs.Destination{Addr: historyServers.Draw(t, "server"), Method: historyMethods.Draw(t, "method"), Weight: historyWeights.Draw(t, "weight")}
	if key.Is6() != (d.Method == ipvs.Tunnel && historyBool.Draw(t, "other family")) {
		d.Addr = six(d.Addr)
	}
	d.TOA = d.Method == ipvs.FullNAT && historyBool.Draw(t, "toa")
	if historyRare.Draw(t, "limited") < 3 {
		d.UpperThreshold = historyThresholds.Draw(t, "upper")
		d.LowerThreshold = min(d.UpperThreshold, historyThresholds.Draw(t, "lower"))
	}
	return d
}

// changeServices is a transaction about services: most are refused, because they
// are there already, or not.
func (h *history) changeServices(t *rapid.T) {
	var changes []ipvs.Change
	for range rapid.IntRange(1, 2).Draw(t, "changes") {
		key := drawKey(t)
		c := ipvs.Change{Kind: ipvs.AddService, Service: ipvs.Service{Key: key}}
		switch rapid.IntRange(0, 8).Draw(t, "what") {
		case 0, 1, 2:
			c.Service = drawService(t, key)
		case 3, 4:
			c.Kind, c.Service = ipvs.EditService, drawService(t, key)
		case 5, 6:
			c.Kind = ipvs.DeleteService
		case 7:
			c = ipvs.Change{Kind: ipvs.FlushServices}
		case 8:
			c = ipvs.Change{Kind: ipvs.ChangeMarks, Words: historyMarks.Draw(t, "marks")}
		}
		changes = append(changes, c)
	}
	h.apply(t, changes...)
}

// changeServers is a transaction about the servers of one service.
func (h *history) changeServers(t *rapid.T) {
	key := drawKey(t)
	var changes []ipvs.Change
	for range rapid.IntRange(1, 2).Draw(t, "changes") {
		kind := rapid.SampledFrom([]ipvs.ChangeKind{ipvs.AddDestination, ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination}).Draw(t, "what")
		changes = append(changes, ipvs.Change{Kind: kind, Service: ipvs.Service{Key: key}, Destination: drawServer(t, key)})
	}
	h.apply(t, changes...)
}

func (h *history) changeSettings(t *rapid.T) {
	switch historyRare.Draw(t, "what") {
	case 0:
		h.apply(t, ipvs.Change{Kind: ipvs.ZeroStats})
	case 2:
		h.apply(t, ipvs.Change{Kind: ipvs.ChangeSources, Words: historySources.Draw(t, "sources")})
	case 1:
		seconds := func(of string) uint32 { return historySeconds.Draw(t, of) }
		h.apply(t, ipvs.Change{Kind: ipvs.SetTimeouts, Timeouts: ipvs.Timeouts{TCP: seconds("tcp"), TCPFin: seconds("tcpfin"), UDP: seconds("udp")}})
	default:
		name, value, _ := strings.Cut(historySettings.Draw(t, "setting"), "=")
		h.apply(t, ipvs.Change{Kind: ipvs.SetSysctl, Name: name, Value: value})
	}
}

var historyStations = []netip.Addr{
	netip.MustParseAddr("10.20.0.11"), netip.MustParseAddr("10.20.0.12"), netip.MustParseAddr("10.10.3.1"),
	netip.MustParseAddr("fd20::11"), netip.MustParseAddr("fd20::b"), netip.MustParseAddr("fd10::3:1"),
}

func (h *history) changeHost(t *rapid.T) {
	h.setHost(func(host *packettest.Host) {
		host.Links[dipLink].MTU = rapid.SampledFrom([]int{1500, 1500, 68}).Draw(t, "mtu")
		host.Neighbours[rapid.SampledFrom(historyStations).Draw(t, "station")] = packettest.Neighbour(rapid.IntRange(0, 3).Draw(t, "neighbour"))
		host.Locals[netip.MustParseAddr("10.10.1.2")] = historyBool.Draw(t, "local")
		host.Locals[netip.MustParseAddr("fd10::1:2")] = historyBool.Draw(t, "local")
		host.Locals[netip.MustParseAddr("10.20.0.241")] = historyRare.Draw(t, "source local") == 0
	})
}

func (h *history) defend(t *rapid.T) { h.dir.Defend(historyPages.Draw(t, "pages"), h.now) }

func (h *history) pass(t *rapid.T) {
	h.now += historyPauses.Draw(t, "pause")
	h.dir.Housekeep(h.now)
	h.frame()
}
