package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func checkSocket(f *Facts, r *report) {
	s := &f.Socket
	if d := f.Director; d != nil {
		if s.Mode&0o002 != 0 {
			r.warn(s.Path, "chmod 660 "+s.Path, "a director answers, and any user may use it (mode %04o)", s.Mode)
			return
		}
		r.ok(s.Path, "a director answers (pid %d, mode %04o)", d.PID, s.Mode)
		return
	}
	switch s.State {
	case SocketForbidden:
		r.fault(s.Path, "sudo natlb doctor; for good: usermod -aG natlb USER, and log in again",
			"this user may not use the socket (mode %04o)", s.Mode)
	case SocketForeign:
		r.fault(s.Path, "give director and commands another path: --socket PATH or NATLB_SOCKET", "not a socket: %s", s.Detail)
	case SocketMismatch:
		r.fault(s.Path, "restart the director with this natlb", "%s", s.Detail)
	case SocketSilent:
		r.fault(s.Path, "ps -o pid,stat,wchan:20,cmd -C natlb; one that is stopped (T): kill -CONT PID", "%s", s.Detail)
	default:
		text := "no director is running: nothing is there"
		if s.State == SocketStale {
			text = "no director is running: a dead one has left its socket, which the next start replaces"
		}
		if f.Named {
			r.warn(s.Path, "natlb run "+f.sides(), "%s", text)
			return
		}
		r.fault(s.Path, "natlb run --vip-if IF --dip-if IF; to look at the host first: natlb doctor --vip-if IF --dip-if IF", "%s", text)
	}
}

// sides returns the interfaces as natlb run takes them.
func (f *Facts) sides() string {
	var words []string
	for i := range f.Links {
		if f.Links[i].VIP {
			words = append(words, "--vip-if "+f.Links[i].Name)
		}
	}
	for i := range f.Links {
		if f.Links[i].DIP {
			words = append(words, "--dip-if "+f.Links[i].Name)
		}
	}
	return strings.Join(words, " ")
}

func checkDirector(f *Facts, r *report) {
	d := f.Director
	if d == nil {
		return
	}
	up := time.Duration(d.Uptime * float64(time.Second)).Round(time.Second)
	if d.Natlb != f.Natlb {
		r.warn("", "restart the director, or use its own natlb",
			"the director is natlb %s (up %v), this is natlb %s", d.Natlb, up, f.Natlb)
		return
	}
	r.ok("", "natlb %s, up %v, %s", d.Natlb, up, counted(d.Shards, "shard"))
}

func checkNamespace(f *Facts, r *report) {
	if f.Elsewhere != "" {
		r.fault("", fmt.Sprintf("sudo nsenter -t %d -n natlb doctor --socket %s", f.Director.PID, f.Socket.Path),
			"the director is in another network namespace: %s", f.Elsewhere)
	}
}

func checkCapability(f *Facts, r *report) {
	const raw, admin = "cap_net_raw", "cap_net_admin"
	grant := "setcap cap_net_raw,cap_net_admin+ep $(command -v natlb), then restart the director (systemd: CapabilityBoundingSet=, AmbientCapabilities=)"
	if d := f.Director; d != nil {
		switch {
		case !slices.Contains(d.Capabilities, raw):
			r.fault("director", grant, "has no %s: it cannot open an interface again", raw)
		case !slices.Contains(d.Capabilities, admin):
			r.fault("director", grant, "has no %s: no guard, no asking for neighbours, small buffers", admin)
		default:
			r.ok("director", "has %s and %s", raw, admin)
		}
		if !slices.Contains(f.Caps, raw) {
			r.unknown("doctor", "sudo natlb doctor", "has no %s: nobody is asked by ARP, neighbour discovery or ping", raw)
		}
		return
	}
	for _, name := range []string{raw, admin} {
		if !slices.Contains(f.Caps, name) {
			r.warn("doctor", "sudo setcap cap_net_raw,cap_net_admin+ep $(command -v natlb), or run it as root",
				"natlb run by this user would have no %s", name)
		}
	}
	if len(f.Caps) == 2 {
		r.ok("doctor", "natlb run by this user has %s and %s", raw, admin)
	}
}

func checkRulesFile(f *Facts, r *report) {
	if f.RulesErr != "" {
		r.fault("", "mend the line and ask again", "%s", f.RulesErr)
	}
}

// counted returns "1 shard" or "2 shards".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
