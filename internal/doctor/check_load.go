package doctor

import "strings"

// counter returns one of the director's counters, zero when it has none of that
// name.
func (f *Facts) counter(name string) (c Counter) {
	for i := range f.Counters {
		if f.Counters[i].Name == name {
			return f.Counters[i]
		}
	}
	return c
}

// much reports whether lost is more than one in a hundred of all.
func much(lost, all uint64) bool { return lost > all/100 }

func checkDrops(f *Facts, r *report) {
	for i := range f.Links {
		l := &f.Links[i]
		prefix := "link-" + l.Name + "-"
		received, dropped := f.counter(prefix+"received"), f.counter(prefix+"kernel-dropped")
		sent, failed := f.counter(prefix+"sent"), f.counter(prefix+"send-failed")
		slow := "natlb counters; the machine is at its limit, the ring is short (natlb run --ring), or cap_net_admin (large buffers) is missing"
		before := len(r.findings)
		switch {
		case dropped.Moved > 0 || much(dropped.Count, received.Count):
			r.fault(l.Name, slow, "natlb's socket was full: %d of %d frames lost, %d of them now", dropped.Count, received.Count, dropped.Moved)
		case dropped.Count > 0:
			r.warn(l.Name, slow, "natlb's socket was full once: %d of %d frames lost", dropped.Count, received.Count)
		}
		refusedBy := "ip -s link show " + l.Name + "; tc -s qdisc show dev " + l.Name
		switch {
		case failed.Moved > 0 || much(failed.Count, sent.Count+failed.Count):
			r.fault(l.Name, refusedBy, "refuses to send: %d frames, %d of them now", failed.Count, failed.Moved)
		case failed.Count > 0:
			r.warn(l.Name, refusedBy, "has refused to send %d frames", failed.Count)
		}
		if l.Losing > 0 || much(l.Lost, l.Packets) {
			r.warn(l.Name, "ethtool -S "+l.Name+"; ip -s -s link show "+l.Name, "the interface itself has lost %d frames, %d of them now", l.Lost, l.Losing)
		}
		if len(r.findings) == before && l.Exists && f.Director != nil {
			r.ok(l.Name, "no frame lost in the socket, none refused")
		}
	}
}

// checkVerdicts names the drops that happen now; those of long ago are in natlb
// counters.
func checkVerdicts(f *Facts, r *report) {
	for i := range f.Counters {
		c := &f.Counters[i]
		if strings.HasPrefix(c.Name, "drop-") && c.Moved > 0 {
			r.warn(c.Name, "docs/verdicts.md says what it means; natlb counters", "%d frames in this moment", c.Moved)
		}
	}
	if len(r.findings) == 0 && len(f.Counters) > 0 {
		r.ok("", "none")
	}
}

func checkTable(f *Facts, r *report) {
	d := f.Director
	if d == nil || d.MaxConns <= 0 {
		return
	}
	const cure = "restart the director with a greater --max-conns; in a flood: natlb sysctl drop_entry=1 drop_packet=1 secure_tcp=1"
	switch share := float64(d.Conns) / float64(d.MaxConns); {
	case d.Conns >= d.MaxConns || f.counter("drop-table-full").Moved > 0:
		r.fault("", cure, "full: %d of %d connections", d.Conns, d.MaxConns)
	case share >= 0.8:
		r.warn("", cure, "nearly full: %d of %d connections", d.Conns, d.MaxConns)
	default:
		r.ok("", "%d of %d connections", d.Conns, d.MaxConns)
	}
}

func checkMemory(f *Facts, r *report) {
	const mega = 1 << 20
	m := f.Memory
	if m.Total == 0 {
		r.unknown("", "", "/proc/meminfo cannot be read")
		return
	}
	const cure = "give the machine more, or restart the director with a smaller --max-conns"
	switch {
	case m.Available < m.Total/33:
		r.fault("", cure, "%d MB of %d MB left", m.Available/mega, m.Total/mega)
	case m.Available < m.Total/10:
		r.warn("", cure, "%d MB of %d MB left", m.Available/mega, m.Total/mega)
	case f.Director != nil && f.Director.Memory > 0:
		r.ok("", "%d MB of %d MB left; the director has %d MB", m.Available/mega, m.Total/mega, f.Director.Memory/mega)
	default:
		r.ok("", "%d MB of %d MB left", m.Available/mega, m.Total/mega)
	}
}
