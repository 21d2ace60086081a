package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"natlb/dataplane"
	"natlb/internal/ipvsadm"
	"natlb/internal/pcapfile"
	"natlb/ipvs"
)

// Config says what to replay and how.
type Config struct {
	Rules  *ipvsadm.Rules
	Inputs []*Input
	Sink   Sink // gets what the director sends; may be nil

	VIPName, DIPName string   // of the links, for rules of natlb mark with -i
	VIPVLAN, DIPVLAN int      // tags that the links' packets have; AnyVLAN
	MTU              int      // of both links, 0: no limit
	MaxConns         int      // cap on connections, 0: a million
	FTPPorts         []uint16 // virtual ports with the FTP helper
	NoRoute          bool     // do not act as the servers' gateway
	Keep             int      // connections that the result names, 0: 100,000; of more only the number is known

	// Event is called for what happens, in order and with the captures' time of
	// day; the connection is nil for events that are about none. May be nil.
	Event    func(*ipvs.Event, *Conn, time.Time)
	Progress func(read, size int64) // called now and then with bytes read, and of how many (0: unknown); may be nil
}

// Sink takes what the replayed director sends.
type Sink interface {
	// Packet takes one frame that goes out by a link, at its time. The frame is
	// only lent; why makes a comment on it.
	Packet(link uint8, p *pcapfile.Packet, why func() string) error
}

// The fixed seeds of every replay, and its defaults.
const (
	hashSeed  = 0x6e61746c62
	drawSeed1 = 1
	drawSeed2 = 2

	defaultMaxConns = 1 << 20
	defaultKeep     = 100_000
	noMTU           = 65535 // captures of machines with offloads have super-packets
	epoch           = time.Second
	idleStep        = 20 * time.Millisecond // the live loop's shortest wait
	longestWait     = time.Second           // and its longest
	noTimer         = time.Hour             // what a shard says that waits for nothing
	lookUp          = 4096                  // packets between two looks at the world outside
	plentyOfPages   = 1 << 20               // memory, for the defences: a replay is never short
)

// player is a replay under way.
type player struct {
	cfg     Config
	dir     *dataplane.Director
	shard   *dataplane.Shard
	judge   *judge
	framers [2]framer
	inputs  merge
	book    *book
	news    bool // the director has events to take

	now     time.Duration // on the director's clock
	ticked  time.Duration
	first   int64 // time of the first packet, and of the last, nanoseconds since 1970
	last    int64
	counts  PacketCounts
	frame   captured
	out     pcapfile.Packet
	verdict dataplane.Verdict
}

// Run replays the captures. The result is that of a replay that came to its end;
// an error is a fault of rules or files, or the end of ctx.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	p := newPlayer(cfg)
	if err := p.dir.Apply(cfg.Rules.Changes); err != nil {
		return nil, cfg.Rules.Locate(err)
	}
	scope := p.dir.Scope()
	p.judge = newJudge(scope)
	p.dir.SetHost(newHost(scope.Servers, p.cfg.MTU))
	p.book.setServices(p.dir.Services())
	p.dir.Follow(true)
	if err := p.play(ctx); err != nil {
		return nil, err
	}
	return p.result()
}

func newPlayer(cfg Config) *player {
	if cfg.MTU == 0 {
		cfg.MTU = noMTU
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = defaultMaxConns
	}
	p := &player{cfg: cfg, inputs: cfg.Inputs, now: epoch, ticked: epoch}
	p.framers = [2]framer{{mac: linkMACs[VIPLink], vlan: cfg.VIPVLAN}, {mac: linkMACs[DIPLink], vlan: cfg.DIPVLAN}}
	p.book = newBook(cfg.Keep)
	if cfg.Event != nil {
		p.book.event = func(e *ipvs.Event, c *Conn) {
			cfg.Event(e, c, time.Unix(0, p.first+int64(e.At-epoch)).UTC())
		}
	}
	p.dir = dataplane.NewDirector(dataplane.Config{
		Links: []dataplane.Link{
			{Name: cfg.VIPName, Side: dataplane.VIPSide},
			{Name: cfg.DIPName, Side: dataplane.DIPSide},
		},
		Seed:     hashSeed,
		Rand:     rand.New(rand.NewPCG(drawSeed1, drawSeed2)),
		MaxConns: cfg.MaxConns,
		NoRoute:  cfg.NoRoute,
		FTPPorts: cfg.FTPPorts,
		Wake:     func() { p.news = true },
	})
	p.shard = p.dir.Shard(0)
	return p
}

// play plays all packets in the order of their times.
func (p *player) play(ctx context.Context) error {
	for {
		if p.counts.Read%lookUp == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("stopped after %d packets: %w", p.counts.Read, err)
			}
			if p.cfg.Progress != nil {
				p.cfg.Progress(p.inputs.progress())
			}
		}
		in := p.inputs.next()
		if in == nil {
			return nil
		}
		if err := p.packet(in); err != nil {
			return err
		}
		if err := in.advance(); err != nil {
			return err
		}
	}
}

// packet plays the packet that is next in a capture, unless the director that
// was recorded had sent it.
func (p *player) packet(in *Input) error {
	c, raw := &p.frame, &in.packet
	link := uint8(VIPLink)
	if in.Side == DIPSide {
		link = DIPLink
	}
	p.framers[link].frame(raw, c)
	p.count(in, c)
	p.pass(raw.Time)
	link, own := p.judge.place(in.Side, c, marked(raw))
	if own {
		in.own++
		p.counts.Own++
		return nil
	}
	c.Link = link
	p.counts.Received++
	p.shard.Begin(p.now)
	p.verdict = p.shard.Process(&c.Frame, p.now)
	p.shard.End()
	return p.send()
}

// marked reports whether a capture says which packets its machine has sent.
func marked(p *pcapfile.Packet) bool {
	return p.Direction != pcapfile.Unsaid || p.LinkType == pcapfile.LinuxSLL || p.LinkType == pcapfile.LinuxSLL2
}

func (p *player) count(in *Input, c *captured) {
	if p.counts.Read == 0 {
		p.first, p.last = in.packet.Time, in.packet.Time
	}
	p.counts.Read++
	p.counts.Bytes += uint64(in.packet.WireLen)
	in.packets++
	in.bytes += uint64(in.packet.WireLen)
	if in.packet.Short() {
		p.counts.Short++
		if c.WireLen > uint32(len(c.Data)) {
			p.counts.Lost++
		}
	}
}

// pass lets the director's clock go on to a packet's time. It never goes back:
// a packet that is older than the one before it comes at that one's time.
func (p *player) pass(at int64) {
	if at < p.last {
		p.counts.Late++
		at = p.last
	}
	p.last = at
	now := epoch + time.Duration(at-p.first)
	for now-p.now > idleStep {
		timer := p.shard.NextTimer(p.now)
		if len(p.book.live) == 0 && timer >= noTimer {
			break // nothing can happen, however long it takes
		}
		wait := min(max(timer, idleStep), longestWait)
		if wait >= now-p.now {
			break
		}
		p.now += wait
		p.tick()
		p.shard.Begin(p.now)
		p.shard.End()
		p.record(nil)
	}
	p.now = now
	p.tick()
}

// record takes down what has happened since the last time, and what is sent.
func (p *player) record(out []dataplane.Frame) *Conn {
	if p.news {
		p.news = false
		p.book.events = p.dir.TakeEvents(p.book.events)
	}
	return p.book.batch(p.verdict, out)
}

// tick is what the live director does every second.
func (p *player) tick() {
	if p.now-p.ticked < time.Second {
		return
	}
	p.ticked = p.now
	p.dir.Housekeep(p.now)
	p.dir.Defend(plentyOfPages, p.now)
	p.record(nil)
}

// send hands over what came of the packet.
func (p *player) send() error {
	out := p.shard.Output()
	flow := p.record(out)
	for i := range out {
		f := &out[i]
		p.counts.Sent++
		p.counts.SentBytes += uint64(len(f.Data))
		if p.cfg.Sink == nil {
			continue
		}
		p.out = pcapfile.Packet{Data: f.Data, Time: p.last, WireLen: uint32(len(f.Data)), LinkType: pcapfile.Ethernet}
		if sentOn := p.verdict == dataplane.Forward || p.verdict == dataplane.Route; p.frame.padded && sentOn {
			p.out.Data = f.Data[:min(len(f.Data), p.frame.length)]
		}
		if err := p.cfg.Sink.Packet(f.Link, &p.out, func() string { return comment(p.verdict, flow) }); err != nil {
			return err
		}
	}
	return nil
}

func comment(v dataplane.Verdict, flow *Conn) string {
	if flow == nil {
		return v.String()
	}
	return fmt.Sprintf("%v: %v", v, flow)
}
