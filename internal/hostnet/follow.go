package hostnet

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// eventBuffer is the receive buffer of the event socket, bytes.
	eventBuffer = 1 << 20
	// maxUpdates bounds the neighbour updates that wait for the next build;
	// beyond it a dump is cheaper.
	maxUpdates = 4096
)

// pending is what the next build has to do.
type pending struct {
	facts      bool              // dump links, addresses, routes, forwarding
	neighbours bool              // dump neighbours; updates are then moot
	updates    []neighbourUpdate // in order of arrival
}

// hints collects what events say until build takes it.
type hints struct {
	mu   sync.Mutex
	next pending
	wake chan struct{} // capacity 1
}

// all asks for everything anew.
func (h *hints) all() { h.add(pending{facts: true, neighbours: true}) }

func (h *hints) add(p pending) {
	h.mu.Lock()
	h.next.facts = h.next.facts || p.facts
	h.next.updates = append(h.next.updates, p.updates...)
	h.next.neighbours = h.next.neighbours || p.neighbours || len(h.next.updates) > maxUpdates
	if h.next.neighbours {
		h.next.updates = nil
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hints) take() pending {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.next
	h.next = pending{}
	return p
}

// subscribe opens the event socket in the calling thread's namespace. One
// socket for all groups keeps the kernel's order.
func subscribe() (*nl.NetlinkSocket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, fmt.Errorf("subscribe to network changes: %w", err)
	}
	// Beyond the system's limit only with privilege; a small buffer is not
	// wrong either, it overruns sooner and costs dumps.
	if s.SetReceiveBufferSize(eventBuffer, true) != nil {
		_ = s.SetReceiveBufferSize(eventBuffer, false)
	}
	return s, nil
}

// follow turns events into hints, until Close.
func (h *Host) follow() {
	for {
		msgs, from, err := h.events.Receive()
		switch {
		case err == nil && from.Pid == nl.PidKernel:
			if p := parseEvents(msgs); p.facts || len(p.updates) > 0 {
				h.hints.add(p)
			}
			continue
		case err == nil || errors.Is(err, unix.EINTR):
			continue
		}
		select {
		case <-h.done:
			return
		default:
		}
		if errors.Is(err, unix.ENOBUFS) {
			h.log.Debug("network changes came too fast, reading all anew")
			h.hints.all()
			continue
		}
		h.log.Warn("cannot follow network changes", "err", err)
		h.hints.all()
		select {
		case <-time.After(retryPause):
		case <-h.done:
			return
		}
	}
}

// parseEvents sums up one batch of messages.
func parseEvents(msgs []syscall.NetlinkMessage) (p pending) {
	for i := range msgs {
		switch msgs[i].Header.Type {
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			if u, ok := parseNeighbourEvent(&msgs[i]); ok {
				p.updates = append(p.updates, u)
			}
		case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR,
			unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
			p.facts = true
		}
	}
	return p
}

func parseNeighbourEvent(m *syscall.NetlinkMessage) (u neighbourUpdate, ok bool) {
	if len(m.Data) < unix.SizeofNdMsg {
		return u, false
	}
	n, err := netlink.NeighDeserialize(m.Data)
	if err != nil {
		return u, false
	}
	u, ok = newNeighbourUpdate(n)
	if m.Header.Type == unix.RTM_DELNEIGH {
		u.now = Neighbour{}
	}
	return u, ok
}
