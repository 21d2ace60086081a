package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"natlb/ipvs"
)

// news finds out what a transaction will do, to tell those who follow. It walks
// through the changes on top of the director's state, before they are carried
// out.
type news struct {
	d       *Director
	now     time.Duration
	keys    []ipvs.ServiceKey                    // services that were looked at, in order
	lists   map[ipvs.ServiceKey][]netip.AddrPort // their servers
	weights map[destKey]int32
	events  []ipvs.Event
}

// newsOf returns the events of a transaction that the plan has found good.
func (d *Director) newsOf(changes []ipvs.Change, now time.Duration) []ipvs.Event {
	n := &news{d: d, now: now, lists: map[ipvs.ServiceKey][]netip.AddrPort{}, weights: map[destKey]int32{}}
	for i := range changes {
		n.change(&changes[i])
	}
	return n.events
}

func (n *news) change(c *ipvs.Change) {
	n.events = append(n.events, configEvent(c, n.now))
	key, addr, weight := c.Service.Key, c.Destination.Addr, c.Destination.Weight
	switch c.Kind {
	case ipvs.AddDestination:
		n.lists[key] = append(n.servers(key), addr)
		n.weights[destKey{key, addr}] = weight
		kind := ipvs.EventServerUp
		if weight == 0 {
			kind = ipvs.EventServerQuiesced
		}
		n.server(kind, key, addr, 0, weight)
	case ipvs.EditDestination:
		n.servers(key)
		before := n.weights[destKey{key, addr}]
		n.weights[destKey{key, addr}] = weight
		switch {
		case before != 0 && weight == 0:
			n.server(ipvs.EventServerQuiesced, key, addr, before, weight)
		case before == 0 && weight != 0:
			n.server(ipvs.EventServerUp, key, addr, before, weight)
		}
	case ipvs.DeleteDestination:
		list := n.servers(key)
		n.server(ipvs.EventServerDown, key, addr, n.weights[destKey{key, addr}], 0)
		n.lists[key] = slices.DeleteFunc(list, func(a netip.AddrPort) bool { return a == addr })
	case ipvs.DeleteService:
		n.deleteService(key)
	case ipvs.FlushServices:
		for _, s := range n.d.services {
			n.servers(s.key)
		}
		for _, key := range n.keys {
			n.deleteService(key)
		}
	}
}

// servers returns the servers of a service as the changes so far leave them.
func (n *news) servers(key ipvs.ServiceKey) []netip.AddrPort {
	if list, known := n.lists[key]; known {
		return list
	}
	n.keys = append(n.keys, key)
	list := []netip.AddrPort{}
	if s := n.d.byKey[key]; s != nil {
		for _, r := range s.servers {
			list = append(list, r.Addr)
			n.weights[destKey{key, r.Addr}] = r.ConfiguredWeight()
		}
	}
	n.lists[key] = list
	return list
}

func (n *news) deleteService(key ipvs.ServiceKey) {
	for _, addr := range n.servers(key) {
		n.server(ipvs.EventServerDown, key, addr, n.weights[destKey{key, addr}], 0)
	}
	n.lists[key] = []netip.AddrPort{}
}

func (n *news) server(kind ipvs.EventKind, key ipvs.ServiceKey, addr netip.AddrPort, before, weight int32) {
	n.events = append(n.events, ipvs.Event{
		Kind: kind, At: n.now, Service: key, Server: addr, Weight: weight, WeightBefore: before,
	})
}

// configEvent says what a change was.
func configEvent(c *ipvs.Change, now time.Duration) ipvs.Event {
	e := ipvs.Event{
		Kind: ipvs.EventConfig, At: now, Change: c.Kind,
		Service: c.Service.Key, Server: c.Destination.Addr, Name: c.Name, Value: c.Value,
	}
	switch c.Kind {
	case ipvs.AddDestination, ipvs.EditDestination:
		e.Weight = c.Destination.Weight
	case ipvs.SetTimeouts:
		e.Value = fmt.Sprintf("%d %d %d", c.Timeouts.TCP, c.Timeouts.TCPFin, c.Timeouts.UDP)
	case ipvs.ChangeMarks, ipvs.ChangeSources:
		e.Value = strings.Join(c.Words, " ")
	}
	return e
}
