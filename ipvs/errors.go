package ipvs

import "errors"

// The ways in which a change is refused (semantics 1.3). Front ends map them
// to ipvsadm's words and exit codes.
var (
	ErrServiceExists      = errors.New("service already exists")
	ErrNoSuchService      = errors.New("no such service")
	ErrDestinationExists  = errors.New("destination already exists")
	ErrNoSuchDestination  = errors.New("no such destination")
	ErrUnknownScheduler   = errors.New("unknown scheduler or persistence engine")
	ErrInvalid            = errors.New("invalid argument")
	ErrRange              = errors.New("value out of range")
	ErrUnsupported        = errors.New("not supported by this version of natlb")
	ErrUnknownSysctl      = errors.New("unknown sysctl")
	ErrUnsupportedSysctl  = errors.New("sysctl not supported by this version of natlb")
	ErrDifferentFamily    = errors.New("address families of service and real server differ")
	ErrPermission         = errors.New("permission denied")
	ErrDirectorNotRunning = errors.New("no director is running")
)
