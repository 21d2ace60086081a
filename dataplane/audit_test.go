package dataplane

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"natlb/conntrack"
	"natlb/ipvs"
	"natlb/rewrite"
)

// tally is what a walk over the entries finds of one real server.
type tally struct{ active, inactive, persistent int32 }

func (n tally) entries() int { return int(n.active + n.inactive + n.persistent) }

// entryKey names an entry of a table: of a shard, or of the templates.
type entryKey struct {
	shard int
	v6    bool
	ref   conntrack.Ref
}

// audit is one look at everything that a director keeps, nothing taken on trust:
// what a count should be is found by walking.
type audit struct {
	d         *Director
	tallies   []tally // by server ID
	templates map[entryKey]int
	controls  map[entryKey]int
	uses      []int64 // by ID of a source address
	errs      []error
}

// Audit says in which places d contradicts itself, or nil: real servers count
// their entries, templates and control connections what hangs on them, IDs are
// used or free and never both, what is held is what the verdicts say, and nothing
// has outlived its time. The shards must be between two batches.
func (d *Director) Audit() error {
	a := d.audit()
	return errors.Join(a.errs...)
}

// Remains says what is left in a director that ought to be at rest, or nil.
func (d *Director) Remains() error {
	a := d.audit()
	for id, n := range a.tallies {
		if n != (tally{}) {
			a.fail("server %d still has %+v", id, n)
		}
	}
	if n := len(d.trash); n != 0 {
		a.fail("%d servers are left in the trash", n)
	}
	for i, s := range d.shards {
		if s.frags.oldest != nil || s.frags.newest != nil || len(s.frags.groups) != 0 || s.frags.bytes != 0 {
			a.fail("shard %d holds %d incomplete packets and %d bytes", i, len(s.frags.groups), s.frags.bytes)
		}
		if len(s.waiting.frames) != 0 || s.waiting.bytes != 0 {
			a.fail("shard %d: %d frames and %d bytes wait for neighbours", i, len(s.waiting.frames), s.waiting.bytes)
		}
		if s.sweep != [2]conntrack.Ref{} {
			a.fail("shard %d is still sweeping", i)
		}
		for _, t := range s.tables() {
			a.refill(fmt.Sprintf("shard %d", i), t)
		}
	}
	for _, t := range d.templates.tables() {
		a.refill("templates", t)
	}
	for _, s := range d.sources.live {
		if s != nil && !d.sources.set.Has(s.addr) {
			a.fail("source address %v was deleted and is left", s.addr)
		}
	}
	return errors.Join(a.errs...)
}

// refill fills an empty table up to as many entries as it has ever had, and
// empties it again: all its memory has to be on the free list, once.
func (a *audit) refill(of string, t *conntrack.Table) {
	if t.Len() != 0 {
		a.fail("%s: %d entries left", of, t.Len())
		return
	}
	slots, died := t.Slots(), a.d.view.Load()
	a.d.view.Store(&view{servers: []serverView{{RealServer: new(ipvs.RealServer)}}, sourceLive: []*sourceAddr{{}}}) // for what dies here
	defer a.d.view.Store(died)
	taken := map[conntrack.Ref]bool{}
	var single []conntrack.Ref // connections without a twin
	for i := range slots {
		var r conntrack.Ref
		six := t == a.d.templates.six || slices.ContainsFunc(a.d.shards, func(s *Shard) bool { return s.table6 == t })
		if six {
			r = t.Insert6(&conntrack.Key6{CIP: rewrite.Addr6{Lo: uint64(i)}, Proto: 17}, a.d.shards[0].now)
		} else {
			r = t.Insert(&conntrack.Key4{CIP: uint32(i), Proto: 17}, a.d.shards[0].now)
		}
		if r != 0 {
			single = append(single, r)
		} else if len(single) > 0 { // the cap: twins have places beyond it
			above := single[0]
			single = single[1:]
			t.At(above).Flags |= conntrack.Flags(ipvs.FullNAT)
			if six {
				t.Pair6(above, rewrite.Addr6{Hi: 1, Lo: uint64(i)}, 1, 0)
			} else {
				t.Pair(above, uint32(i), 1, 0)
			}
			r, _ = t.Twin(t.At(above))
		}
		if r == 0 || taken[r] {
			a.fail("%s: entry %d of %d gets place %d", of, i, slots, r)
			return
		}
		taken[r] = true
	}
	if got := t.Slots(); got != slots {
		a.fail("%s: %d places have become %d, so some were lost", of, slots, got)
	}
	for r := range taken {
		t.Remove(r) // of a twin nothing
	}
	if t.Len() != 0 {
		a.fail("%s: Len is %d after everything was removed", of, t.Len())
	}
}

// Counts returns how many connections and how many templates the tables say that
// they have.
func (d *Director) Counts() (conns, templates int) {
	for _, s := range d.shards {
		conns += s.entries()
	}
	return conns, d.templates.entries()
}

// Entry is a connection with its addresses if it is of IPv6.
type Entry struct {
	conntrack.Conn
	Ends  conntrack.Ends6
	Local netip.AddrPort // of FULLNAT
}

// Entries calls yield for each connection of each shard.
func (d *Director) Entries(yield func(Entry) bool) {
	for _, s := range d.shards {
		for _, t := range s.tables() {
			for r := range t.All {
				e := copyEntry(t, r)
				entry := Entry{Conn: e.Conn, Ends: e.ends}
				if e.Full() {
					to := s.toServer(&e.Conn, r)
					entry.Local = netip.AddrPortFrom(Addr4(to.Src), to.SrcPort)
					if e.Is(conntrack.V6) {
						entry.Local = netip.AddrPortFrom(to.Src6.Addr(), to.SrcPort)
					}
				}
				if !yield(entry) {
					return
				}
			}
		}
	}
}

// LendArenas gives a driver that has sent nothing yet, and its shard, the memory
// for the frames that they make.
func (d *Driver) LendArenas(own, borrowed []byte) { d.shard.out.arena, d.out.arena = own, borrowed }

func (a *audit) fail(format string, args ...any) {
	a.errs = append(a.errs, fmt.Errorf(format, args...))
}

func (d *Director) audit() *audit {
	a := &audit{
		d: d, tallies: make([]tally, len(d.servers)),
		templates: map[entryKey]int{}, controls: map[entryKey]int{}, uses: make([]int64, len(d.sources.live)),
	}
	for i, s := range d.shards {
		a.shard(i, s)
	}
	for _, v6 := range []bool{false, true} {
		a.controllers(v6)
	}
	a.servers()
	a.services()
	a.sources()
	return a
}

// activeNow are the states that semantics 3.5 counts as active, by their numbers.
var activeNow = map[conntrack.State]bool{1: true, 2: true, 3: true, 10: true}

func (a *audit) shard(i int, s *Shard) {
	a.table(i, s, false)
	a.table(i, s, true)
	if s.foreign.n != 0 || s.asked != askedNot {
		a.fail("shard %d: %d packets are not handed over, asked is %d", i, s.foreign.n, s.asked)
	}
	a.held(i, s)
}

func (a *audit) table(i int, s *Shard, v6 bool) {
	n, table := 0, s.of(v6)
	for r, c := range table.All {
		n++
		if c.Is(conntrack.V6) != v6 {
			a.fail("shard %d: entry %d of the other family has flags %#x", i, r, c.Flags)
		}
		if e := s.endsOf(c, r); e != nil && (e.CIP.Fold() != c.CIP || e.VIP.Fold() != c.VIP || e.RIP.Fold() != c.RIP && c.Masq()) {
			a.fail("shard %d: entry %d has folds of other addresses than %+v", i, r, *e)
		}
		a.entry("shard", i, r, c, s.now)
		if int(c.Dest) >= len(a.tallies) {
			continue
		}
		if c.Is(conntrack.Template) {
			a.fail("shard %d: entry %d is a template", i, r)
		}
		active := c.Proto == 6 && activeNow[c.State] || c.Proto == 132 && c.State == conntrack.SCTPEstablished
		if active == c.Is(conntrack.Inactive) {
			a.fail("shard %d: entry %d of protocol %d in state %d has flags %#x", i, r, c.Proto, c.State, c.Flags)
		}
		if active {
			a.tallies[c.Dest].active++
		} else {
			a.tallies[c.Dest].inactive++
		}
		if c.Template != 0 {
			a.templates[entryKey{0, v6, c.Template}]++
			if t := a.d.templates.of(v6).At(c.Template); t.Dest != c.Dest {
				a.fail("shard %d: entry %d goes to server %d, its template to %d", i, r, c.Dest, t.Dest)
			}
		}
		if c.Full() {
			a.twin(i, s, r, c)
		}
		if c.Control != 0 && !c.Full() {
			a.controls[entryKey{i, v6, c.Control}]++
		} else if v := a.d.view.Load(); v.steering.of(c.CIP, c.CPort) != i && !(v.resteered && v.steering.other().of(c.CIP, c.CPort) == i) {
			a.fail("shard %d: entry %d of client %v:%d belongs to shard %d", i, r, Addr4(c.CIP), c.CPort, v.steering.of(c.CIP, c.CPort))
		}
	}
	if n != table.Len() {
		a.fail("shard %d: Len is %d, a walk finds %d entries", i, table.Len(), n)
	}
}

// twin checks the way back of a FULLNAT connection.
func (a *audit) twin(i int, s *Shard, r conntrack.Ref, c *conntrack.Conn) {
	v6 := c.Is(conntrack.V6)
	ref, twin := s.of(v6).Twin(c)
	if ref == 0 || !twin.Is(conntrack.Twin) || twin.Control != r || twin.RIP != c.RIP || twin.RPort != c.RPort || twin.Proto != c.Proto || twin.Is(conntrack.V6) != v6 {
		a.fail("shard %d: entry %d has the twin %d: %+v", i, r, ref, *twin)
		return
	}
	to := s.toServer(c, r)
	back := rewrite.Packet{Proto: c.Proto, V6: v6, Src: to.Dst, Src6: to.Dst6, SrcPort: to.DstPort, Dst: to.Src, Dst6: to.Src6, DstPort: to.SrcPort}
	if got := s.findOut(&back); got != r {
		a.fail("shard %d: answers to entry %d find entry %d", i, r, got)
	}
	if owner := sourceSteering(len(a.d.shards)).of(twin.CIP, twin.CPort); owner != i {
		a.fail("shard %d: answers to entry %d go to shard %d", i, r, owner)
	}
	if int(twin.Dest) >= len(a.uses) || a.d.sources.live[twin.Dest] == nil || a.d.sources.live[twin.Dest].addr != SourceOf(&rewrite.Packet{V6: v6, Src: to.Src, Src6: to.Src6}).Addr() {
		a.fail("shard %d: entry %d has source address %d, which there is not", i, r, twin.Dest)
		return
	}
	a.uses[twin.Dest]++
}

// sources checks that source addresses count their connections, and that packets see
// those that there are.
func (a *audit) sources() {
	d, v := a.d, a.d.view.Load()
	wanted := map[netip.Addr]int{}
	for id, live := range d.sources.live {
		if live == nil {
			continue
		}
		wanted[live.addr]++
		if int(live.id) != id || v.sourceLive[id] != live || live.uses.Load() != a.uses[id] {
			a.fail("source address %v counts %d connections, it has %d", live.addr, live.uses.Load(), a.uses[id])
		}
		if answered := d.role(live.addr)&roleSource != 0; answered == isLocal(d.host, live.addr) {
			a.fail("source address %v has role %d", live.addr, d.role(live.addr))
		}
	}
	for _, addr := range d.sources.set.Addrs() {
		if wanted[addr] != 1 {
			a.fail("source address %v is there %d times", addr, wanted[addr])
		}
	}
	for addr := range d.roles.four.lists[listSource] {
		if wanted[Addr4(addr)] == 0 {
			a.fail("source address %v is no more, and has a role", Addr4(addr))
		}
	}
}

// entry checks what every entry of any table has to have.
func (a *audit) entry(table string, i int, r conntrack.Ref, c *conntrack.Conn, now time.Duration) {
	const tick = 1 << 24 // how late the wheel may be
	if int(c.Dest) >= len(a.d.servers) || a.d.servers[c.Dest] == nil {
		a.fail("%s %d: entry %d goes to server %d, which there is not", table, i, r, c.Dest)
	}
	if c.Deadline+tick <= now {
		a.fail("%s %d: entry %d has outlived its time by %v", table, i, r, now-c.Deadline)
	}
	if c.Deadline > now+c.Timeout {
		a.fail("%s %d: entry %d is to live for %v, its timeout is %v", table, i, r, c.Deadline-now, c.Timeout)
	}
}

func (a *audit) held(i int, s *Shard) {
	fragments, bytes, waiting, frames := 0, 0, 0, uint64(0)
	for g := s.frags.oldest; g != nil; g = g.next {
		fragments++
		bytes += len(g.store)
		frames += g.frames
		if s.frags.groups[g.key] != g {
			a.fail("shard %d: the packet %+v is not to be found", i, g.key)
		}
		if g.until <= s.now {
			a.fail("shard %d: fragments have waited for %v too long", i, s.now-g.until)
		}
	}
	if fragments != len(s.frags.groups) || bytes != s.frags.bytes || frames != s.ledger.verdicts[HeldFragment] {
		a.fail("shard %d: %d packets in the list, %d in the map; %d bytes, counted %d; %d frames, counted %d",
			i, fragments, len(s.frags.groups), bytes, s.frags.bytes, frames, s.ledger.verdicts[HeldFragment])
	}
	frames = 0
	for j := range s.waiting.frames {
		waiting += len(s.waiting.frames[j].data)
		frames += s.waiting.frames[j].frames
	}
	if waiting != s.waiting.bytes || frames != s.ledger.verdicts[HeldNeighbour] {
		a.fail("shard %d: %d bytes wait, counted %d; of %d frames, counted %d", i, waiting, s.waiting.bytes, frames, s.ledger.verdicts[HeldNeighbour])
	}
}

// controllers checks templates and control connections: they are there, and know
// how many hang on them.
func (a *audit) controllers(v6 bool) {
	n, table := 0, a.d.templates.of(v6)
	for r, c := range table.All {
		n++
		a.entry("templates", 0, r, c, a.d.shards[0].now)
		if !c.Is(conntrack.Template) || c.CPort != 0 {
			a.fail("template %d has flags %#x and client port %d", r, c.Flags, c.CPort)
		}
		if int(c.Dest) < len(a.tallies) {
			a.tallies[c.Dest].persistent++
		}
		k := entryKey{0, v6, r}
		if int(c.NControl) != a.templates[k] {
			a.fail("template %d says that it controls %d, %d hang on it", r, c.NControl, a.templates[k])
		}
		delete(a.templates, k)
	}
	if n != table.Len() {
		a.fail("templates: Len is %d, a walk finds %d", table.Len(), n)
	}
	for k, n := range a.templates {
		if k.v6 == v6 {
			a.fail("%d connections hang on template %d, which there is not", n, k.ref)
		}
	}
	for i, s := range a.d.shards {
		for r, c := range s.of(v6).All {
			if k := (entryKey{i, v6, r}); int(c.NControl) != a.controls[k] {
				a.fail("shard %d: entry %d says that it controls %d, %d hang on it", i, r, c.NControl, a.controls[k])
			}
			delete(a.controls, entryKey{i, v6, r})
		}
	}
	for k, n := range a.controls {
		if k.v6 != v6 {
			continue
		}
		a.fail("shard %d: %d connections hang on entry %d, which there is not", k.shard, n, k.ref)
	}
}

// servers compares the counts with the walk, and checks that each ID is free, or
// of a server that is either listed by its service or in the trash.
func (a *audit) servers() {
	d := a.d
	uses := make([]int, len(d.servers))
	uses[0] = 1
	live := 0
	for _, s := range d.services {
		for _, r := range s.servers {
			uses[r.ID]++
			live++
			if d.live[destKey{s.key, r.Addr}] != d.servers[r.ID] {
				a.fail("server %v of %v is not to be found", r.Addr, s.key)
			}
			if t := d.servers[r.ID]; t == nil || t.server != r || !r.Available() || t.service != s.id || t.key != (destKey{s.key, r.Addr}) {
				a.fail("%v lists server %v in a place that is not its own", s.key, r.Addr)
			}
		}
	}
	if live != len(d.live) {
		a.fail("%d servers are to be found, the services have %d", len(d.live), live)
	}
	for k, t := range d.trash {
		id := t.server.ID
		uses[id]++
		if d.servers[id] != t || t.key != k || t.server.Available() {
			a.fail("the trash has server %v of %v in a place that is not its own", k.addr, k.service)
		}
	}
	for _, id := range d.freeServers {
		uses[id]++
		if d.servers[id] != nil {
			a.fail("server ID %d is free and taken", id)
		}
	}
	v := d.view.Load()
	for id, t := range d.servers {
		if uses[id] != 1 {
			a.fail("server ID %d is used in %d places, want 1", id, uses[id])
		}
		var packets serverView
		if t != nil {
			packets = t.view()
		}
		if id == 0 && len(v.servers) == 0 {
			continue // there never was one
		}
		if id >= len(v.servers) || v.servers[id] != packets || v.dests[id] != t {
			a.fail("packets see another server %d than there is", id)
		}
		if t == nil {
			continue
		}
		s := t.server
		if got := (tally{s.Active(), s.Inactive(), s.PersistConns()}); got != a.tallies[id] {
			a.fail("server %v of %v counts %+v, its entries are %+v", t.key.addr, t.key.service, got, a.tallies[id])
		}
		if upper, _ := s.Thresholds(); upper == 0 && s.Overloaded() {
			a.fail("server %v of %v is overloaded without a threshold", t.key.addr, t.key.service)
		}
	}
	conns, templates := d.Counts()
	sum := 0
	for _, n := range a.tallies {
		sum += n.entries()
	}
	if sum != conns+templates {
		a.fail("the servers have %d entries, the tables %d", sum, conns+templates)
	}
}

// services checks the table of services and what packets see of it.
func (a *audit) services() {
	d, v := a.d, a.d.view.Load()
	uses := make([]int, d.nservice)
	uses[0] = 1
	vips, vips6 := map[uint32]int{}, map[rewrite.Addr6]int{}
	for _, s := range d.services {
		uses[s.id]++
		if d.byKey[s.key] != s {
			a.fail("service %v is not to be found", s.key)
		}
		seen := v.four.byMark[s.key.Mark]
		switch vip := s.key.VIP; {
		case s.key.IsMark() && s.key.V6:
			seen = v.six.byMark[s.key.Mark]
		case s.key.IsMark():
		case s.key.Is6():
			seen = v.six.of(endpoint6Of(uint8(s.key.Proto), rewrite.Addr6Of(vip.Addr()), vip.Port()))
			vips6[rewrite.Addr6Of(vip.Addr())]++
		default:
			seen = v.four.of(endpointOf(uint8(s.key.Proto), Number4(vip.Addr()), vip.Port()))
			vips[Number4(vip.Addr())]++
		}
		if seen == nil || *seen != *s.view() {
			a.fail("packets see another service than %v", s.key)
		}
	}
	for _, id := range d.freeServices {
		uses[id]++
	}
	for id, n := range uses {
		if n != 1 {
			a.fail("service ID %d is used in %d places, want 1", id, n)
		}
	}
	seen := v.marked()
	for i := range v.four.byAddr {
		seen += len(v.four.byAddr[i]) + len(v.six.byAddr[i])
	}
	if len(d.byKey) != len(d.services) || seen != len(d.services) || v.idle != (seen == 0) {
		a.fail("%d services, %d by key, packets see %d", len(d.services), len(d.byKey), seen)
	}
	for vip, n := range vips {
		if d.roles.four.vips[vip] != n || v.roles.of(vip)&roleVIP == 0 {
			a.fail("VIP %v of %d services counts %d and has role %d", Addr4(vip), n, d.roles.four.vips[vip], v.roles.of(vip))
		}
	}
	for vip, n := range vips6 {
		if d.roles.six.vips[vip] != n || v.roles.of6(vip)&roleVIP == 0 {
			a.fail("VIP %v of %d services counts %d and has role %d", vip.Addr(), n, d.roles.six.vips[vip], v.roles.of6(vip))
		}
	}
	if len(vips6) != len(d.roles.six.vips) {
		a.fail("%d VIPs of IPv6 have services, %d are known", len(vips6), len(d.roles.six.vips))
	}
	for vip := range d.roles.four.vips {
		if vips[vip] == 0 {
			a.fail("VIP %v has no service any more", Addr4(vip))
		}
	}
}
