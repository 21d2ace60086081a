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
	// IPVS has this one; of another name the director says that there is none.
	{"persistence engines (--pe)", func(c *ipvs.Change) bool { return c.Service.Engine == "sip" }},
}

// ErrSyncDaemon refuses --start-daemon and --stop-daemon. It wraps
// [ipvs.ErrUnsupported].
var ErrSyncDaemon = refuse("connection synchronization (--start-daemon, --stop-daemon)")

// supported refuses a change that adds what this version cannot do. Other
// changes to it pass: what they name does not exist, and the director says so.
func supported(c *ipvs.Change) error {
	for _, u := range unsupported {
		if u.asks(c) {
			return refuse(u.what)
		}
	}
	return nil
}

func refuse(what string) error { return fmt.Errorf("%s: %w", what, ipvs.ErrUnsupported) }
