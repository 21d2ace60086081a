package oracletest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// player plays one scenario.
type player struct {
	net   *network
	sport uint16 // last source port given out
	held  []held
	raw   rawClients
	caps  map[string]*capture
	v6    bool // clients have IPv6 addresses unless a step names others
}

// held is a connection that an ordinary client keeps open.
type held struct {
	id, server string
	conn       *conn
}

func newPlayer(rec *record, set setup) *player {
	p := &player{net: newNetwork(plans[rec.Plan], set), sport: 20000, caps: map[string]*capture{}, v6: rec.V6 != 0}
	if rec.Sport > 0 {
		p.sport = uint16(rec.Sport)
	}
	p.raw = rawClients{net: p.net, flows: map[string]*rawFlow{}}
	return p
}

// operations are the steps that the player knows.
var operations = map[string]func(*player, step) result{
	"dir": (*player).dir, "show": (*player).dir, "dirs": (*player).dirs, "sysctl": (*player).sysctl, "mark": (*player).mark,
	"picks": (*player).picks, "release": (*player).release, "tcp": (*player).tcp, "do": (*player).do, "udp": (*player).udp,
	"raw": (*player).rawTCP, "rawsctp": (*player).rawSCTP, "rawudp": (*player).rawUDP, "rawip": (*player).rawIP, "ping": (*player).ping,
	"icmp_from_rs": (*player).icmpFromServer, "icmp_from_client": (*player).icmpFromClient,
	"cap": (*player).startCapture, "capshow": (*player).showCapture, "capsave": nothing,
	"mtu": (*player).setMTU, "exec": (*player).exec, "sleep": (*player).sleep,
	"note": nothing, "readfile": nothing,
}

func nothing(*player, step) result { return result{} }

// play plays all steps and returns their results.
func play(rec *record, set setup) ([]result, error) {
	p := newPlayer(rec, set)
	var out []result
	for i, s := range rec.Steps {
		do, ok := operations[s.Step.op()]
		if !ok {
			return nil, fmt.Errorf("step %d: unknown operation %q, have %v", i, s.Step.op(), slices.Sorted(maps.Keys(operations)))
		}
		p.net.run(seconds(s.At))
		out = append(out, do(p, s.Step))
	}
	return out, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (p *player) sleep(s step) result {
	p.pause(seconds(s.number("s", 0)))
	return result{}
}

func (p *player) pause(d time.Duration) { p.net.run(p.net.now + d) }
