package control

import (
	"fmt"

	"natlb/ipvs"
)

// unsupported lists what IPVS has and this version of natlb refuses. A feature
// that arrives deletes its line.
var unsupported = []struct {
	what string
	asks func(c *ipvs.Change) bool
}{
	{"persistence engines (--pe)", func(c *ipvs.Change) bool { return c.Service.Engine != "" }},
	{"SCTP (--sctp-service)", func(c *ipvs.Change) bool { return c.Service.Key.Proto == ipvs.SCTP }},
	{"IPv6", func(c *ipvs.Change) bool {
		return c.Service.Key.Is6() || c.Destination.Addr.Addr().Is6()
	}},
}

// ErrSyncDaemon refuses --start-daemon and --stop-daemon. It wraps
// [ipvs.ErrUnsupported].
var ErrSyncDaemon = refuse("connection synchronization (--start-daemon, --stop-daemon)")

// supported refuses a change that adds or edits what this version cannot do.
// Deletes and zeroes pass: what they name does not exist, and the director says
// so.
func supported(c *ipvs.Change) error {
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService, ipvs.AddDestination, ipvs.EditDestination:
	default:
		return nil
	}
	for _, u := range unsupported {
		if u.asks(c) {
			return refuse(u.what)
		}
	}
	return nil
}

func refuse(what string) error { return fmt.Errorf("%s: %w", what, ipvs.ErrUnsupported) }
