package ipvs

import (
	"fmt"
	"net/netip"
)

// ChangeKind names one configuration change.
type ChangeKind uint8

// The changes that a director takes. Edits are full replacements, as ipvsadm's
// -E and -e are.
const (
	AddService ChangeKind = iota + 1
	EditService
	DeleteService
	AddDestination
	EditDestination
	DeleteDestination
	FlushServices // delete all services
	ZeroStats     // of one service (Service.Key set) or of everything
	SetTimeouts
	SetSysctl
	ChangeMarks
	BreakPersistence  // take away a server's persistence templates: their clients are scheduled anew
	OrderDestinations // the same servers of one service in another order
	ChangeSources     // the addresses that FullNAT's packets come from
)

// String returns a short name for logs.
func (k ChangeKind) String() string {
	names := [...]string{"", "add-service", "edit-service", "delete-service", "add-server",
		"edit-server", "delete-server", "flush", "zero", "set", "sysctl", "mark", "break-persistence", "order-servers", "source"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// Change is one configuration change. A slice of changes is one transaction:
// all are applied or none.
type Change struct {
	Kind        ChangeKind
	Service     Service     // Key in all changes about a service or its servers
	Destination Destination // changes about a server; delete looks at Addr only
	Timeouts    Timeouts    // SetTimeouts
	Name        string      // SetSysctl: the name without "net.ipv4.vs."
	Value       string      // SetSysctl: the value as written
	Words       []string    // ChangeMarks, ChangeSources: a command line of natlb mark, or of natlb source, that changes something

	// OrderDestinations: every server of the service once, newest first, which
	// is the order that schedulers walk. No server changes in any other way.
	Order []netip.AddrPort
}

// ChangeError says which change of a transaction was refused, and why.
// Unwrap gives one of the sentinels of this package.
type ChangeError struct {
	Index int // position in the transaction, from 0
	Kind  ChangeKind
	Err   error
}

// Error returns the operation and its fault.
func (e *ChangeError) Error() string { return e.Kind.String() + ": " + e.Err.Error() }

// Unwrap returns the fault.
func (e *ChangeError) Unwrap() error { return e.Err }
