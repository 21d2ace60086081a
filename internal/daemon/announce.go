package daemon

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"natlb/dataplane"
)

// announceAt is when a VIP is announced after it has appeared: more than once,
// because switches and fresh links lose frames (RFC 5227 section 2.3 sends two).
var announceAt = []time.Duration{0, time.Second, 3 * time.Second}

// announcer repeats announcements until it is stopped.
type announcer struct {
	mu      sync.Mutex
	stopped bool
}

// after calls f at each of the moments, unless stopped before.
func (a *announcer) after(moments []time.Duration, f func()) {
	for _, d := range moments {
		time.AfterFunc(d, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if !a.stopped {
				f()
			}
		})
	}
}

func (a *announcer) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
}

// vips returns the addresses that natlb answers for: those of services, those that
// firewall marks lead to, and source addresses.
func vips(sc dataplane.Scope) map[netip.Addr]bool {
	vips := map[netip.Addr]bool{}
	for _, key := range sc.Services {
		if vip := key.VIP.Addr(); vip.IsValid() {
			vips[vip] = true
		}
	}
	for _, vip := range slices.Concat(sc.Marked, sc.Sources) {
		vips[vip] = true
	}
	return vips
}

// announce tells the neighbours of the VIPs and source addresses that are there and
// were not known.
func (d *daemon) announce(known, there map[netip.Addr]bool) {
	var fresh []netip.Addr
	for vip := range there {
		if !known[vip] && unicast(vip) {
			fresh = append(fresh, vip)
		}
	}
	if len(fresh) == 0 {
		return
	}
	d.announcements.after(announceAt, func() {
		d.director.Shard(0).Announce(fresh)
		d.workers[0].Wake()
	})
}

// appeared reports whether a link is up in after that was not in before, or has
// another MAC address: what its neighbours remember of the VIPs may be wrong.
func appeared(before, after *picture) bool {
	for i, is := range after.links {
		if was := before.links[i]; is.Up && (!was.Up || is.MAC != was.MAC) {
			return true
		}
	}
	return false
}

// unicast reports whether a host may have addr on a network. IPVS takes a
// service on any address; to announce 0.0.0.0 or a group would mislead others.
func unicast(addr netip.Addr) bool {
	return addr.IsGlobalUnicast() || addr.IsLinkLocalUnicast()
}
