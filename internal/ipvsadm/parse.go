package ipvsadm

import (
	"context"
	"net/netip"
	"strings"

	"natlb/ipvs"
)

// Defaults of ipvsadm.
const (
	defaultPersist = "360" // seconds; the man page's 300 is wrong
	defaultWeight  = 1

	maxInt       = 1<<31 - 1 // greatest weight and threshold
	schedulerLen = 15        // longer names are cut
)

// line is one command line, read.
type line struct {
	cmd   *command
	given optSet

	service    ipvs.Service
	schedFlags string // judged after everything, against the scheduler

	server   ipvs.Destination
	timeouts ipvs.Timeouts

	where [optCount]int // index of the word that gave an option, or its value
}

// parser turns words into lines. It is used for one line at a time.
type parser struct {
	ctx       context.Context
	prog      string
	lookup    Lookup
	restoring bool // the lines of -R: no -R inside
	long      map[string]*option
	short     map[byte]*option

	// How far the line at hand has been read, for those who ask where its fault is.
	words *scanner
	read  *line // nil until all words have been read
}

func newParser(ctx context.Context, prog string, lookup Lookup) *parser {
	p := &parser{ctx: ctx, prog: prog, lookup: lookup, long: make(map[string]*option), short: make(map[byte]*option)}
	add := func(o *option, letters ...byte) {
		p.long[o.long] = o
		for _, c := range letters {
			if c != 0 {
				p.short[c] = o
			}
		}
	}
	for _, c := range commands() {
		add(&option{long: c.long, value: c.value, cmd: c}, c.short, c.alias)
	}
	for i := range options {
		add(&options[i], options[i].short)
	}
	return p
}

// parse reads one command line: first a command, then options left to right,
// each acting as it is read, then what can only be judged at the end. The first
// fault on that way is returned.
func (p *parser) parse(args []string) (*line, error) {
	words := &scanner{long: p.long, short: p.short, words: args}
	p.words, p.read = words, nil
	first, value, _, err := words.next()
	if err != nil || first == nil || first.cmd == nil || p.restoring && first.cmd.name == "restore" {
		return nil, tryHelp(p.prog)
	}
	ln := &line{cmd: first.cmd, server: ipvs.Destination{Method: ipvs.Route, Weight: defaultWeight}}
	if ln.cmd.begin != nil {
		if err := ln.cmd.begin(value); err != nil {
			return nil, err
		}
	}
	if ln.cmd.final {
		return ln, nil
	}
	if err := p.readOptions(ln, words); err != nil {
		return nil, err
	}
	p.read = ln
	return ln, p.judge(ln, words.spare)
}

func (p *parser) readOptions(ln *line, words *scanner) error {
	for {
		o, value, given, err := words.next()
		if err != nil || o == nil {
			return err
		}
		if o.cmd != nil {
			return usage("invalid option `%s'", words.word)
		}
		if !o.free {
			if ln.given.has(o.id) {
				return usage("multiple '%s' options specified", optNames[o.id])
			}
			ln.given |= of(o.id)
			ln.where[o.id] = words.taken - 1
		}
		if !given {
			value = o.absent
		}
		if err := o.set(p, ln, value); err != nil {
			return err
		}
	}
}

// judge makes the checks that need the whole line.
func (p *parser) judge(ln *line, spare []string) error {
	if ln.cmd.words > 0 {
		if err := ln.setTimeouts(spare); err != nil {
			return err
		}
		spare = spare[ln.cmd.words:]
	}
	if len(spare) > 0 {
		return usage("unexpected argument %s", spare[0])
	}
	if err := ln.applySchedFlags(); err != nil {
		return err
	}
	return check(ln)
}

func (ln *line) setTimeouts(words []string) error {
	if len(words) < ln.cmd.words {
		return usage("--set option requires 3 timeout values")
	}
	for i, t := range []*uint32{&ln.timeouts.TCP, &ln.timeouts.TCPFin, &ln.timeouts.UDP} {
		n, ok := number(words[i], 0, ipvs.MaxTimeout)
		if !ok {
			return usage("invalid timeout value `%s' specified", words[i])
		}
		*t = uint32(n)
	}
	return nil
}

// change returns the change of the configuration that the line asks for, with
// ipvsadm's defaults: all that is not on the line is reset, also by an edit.
func (ln *line) change() (ipvs.Change, error) {
	c := ipvs.Change{Kind: ln.cmd.kind, Timeouts: ln.timeouts}
	c.Service.Key = ln.service.Key
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService:
		c.Service = ln.service
		if c.Service.Scheduler == "" {
			c.Service.Scheduler = ipvs.DefaultScheduler
		}
		if !c.Service.Persistent() {
			c.Service.Wildcard, c.Service.PrefixLen = 0, 0 // -M means nothing without -p
		}
	case ipvs.AddDestination, ipvs.EditDestination:
		c.Destination = ln.server
		if key := ln.service.Key; !key.IsMark() && ln.server.Method != ipvs.Masq && ln.server.Method != ipvs.FullNAT {
			// Direct routing and tunnels keep the packet's port.
			c.Destination.Addr = netip.AddrPortFrom(ln.server.Addr.Addr(), key.VIP.Port())
		}
	case ipvs.DeleteDestination:
		c.Destination.Addr = ln.server.Addr
	case ipvs.ZeroStats:
		if vip := c.Service.Key.VIP; vip.Addr().IsUnspecified() && vip.Port() == 0 {
			c.Service.Key = ipvs.ServiceKey{} // no address is every service
		}
	}
	return c, nil
}

// fields splits a line of -R or of a rules file: at blanks, tabs and line ends,
// without quoting of any kind. The word ipvsadm is dropped wherever it stands.
func fields(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' })
	kept := words[:0]
	for _, w := range words {
		if w != "ipvsadm" {
			kept = append(kept, w)
		}
	}
	return kept
}
