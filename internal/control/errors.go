package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"natlb/ipvs"
)

// ErrAlreadyRunning says that a live director holds the socket.
var ErrAlreadyRunning = errors.New("a director is already running")

// ErrProtocol says that client and director do not speak the same version of
// the protocol, or that what answers is no director.
var ErrProtocol = errors.New("protocol mismatch")

// ErrSilent says that a director listens and does not answer in time.
var ErrSilent = errors.New("the director does not answer")

// ErrChanged refuses a transaction that was made for a state which is no longer
// the director's. Nothing was changed; read the state again.
var ErrChanged = errors.New("the configuration has changed meanwhile")

// codes maps every sentinel of package ipvs to its word on the wire and back,
// with the HTTP status that goes with it.
var codes = []struct {
	code   string
	err    error
	status int
}{
	{"service-exists", ipvs.ErrServiceExists, http.StatusConflict},
	{"no-such-service", ipvs.ErrNoSuchService, http.StatusNotFound},
	{"destination-exists", ipvs.ErrDestinationExists, http.StatusConflict},
	{"no-such-destination", ipvs.ErrNoSuchDestination, http.StatusNotFound},
	{"unknown-scheduler", ipvs.ErrUnknownScheduler, http.StatusUnprocessableEntity},
	{"invalid", ipvs.ErrInvalid, http.StatusUnprocessableEntity},
	{"range", ipvs.ErrRange, http.StatusUnprocessableEntity},
	{"unsupported", ipvs.ErrUnsupported, http.StatusNotImplemented},
	{"unknown-sysctl", ipvs.ErrUnknownSysctl, http.StatusNotFound},
	{"unsupported-sysctl", ipvs.ErrUnsupportedSysctl, http.StatusNotImplemented},
	{"different-family", ipvs.ErrDifferentFamily, http.StatusUnprocessableEntity},
	{"permission", ipvs.ErrPermission, http.StatusForbidden},
	{"not-running", ipvs.ErrDirectorNotRunning, http.StatusServiceUnavailable},
	{"changed", ErrChanged, http.StatusPreconditionFailed},
	{"protocol", ErrProtocol, http.StatusBadRequest},
}

// Words for faults of a request that no sentinel stands for.
const (
	codeBadRequest = "bad-request"
	codeTooLarge   = "too-large"
	codeInternal   = "internal"
)

func codeOf(err error) (code string, status int) {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code, c.status
		}
	}
	return codeInternal, http.StatusInternalServerError
}

// remoteError is an error that came over the wire: its own words, and the
// sentinel that its code stands for.
type remoteError struct {
	message  string
	sentinel error // nil for a code that this client does not know
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.sentinel }

// errorOf turns an error reply back into an error, a *ipvs.ChangeError when
// the reply says which of changes it is about.
func errorOf(f *failure, changes []ipvs.Change) error {
	err := &remoteError{message: f.Message}
	for _, c := range codes {
		if c.code == f.Code {
			err.sentinel = c.err
		}
	}
	if f.Index != nil && *f.Index >= 0 && *f.Index < len(changes) {
		return &ipvs.ChangeError{Index: *f.Index, Kind: changes[*f.Index].Kind, Err: err}
	}
	return err
}

// slow puts a timeout of this client in its own words.
func slow(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), ErrSilent) {
		return fmt.Errorf("%w (it may be stopped or overloaded)", ErrSilent)
	}
	return err
}

// errTooMany refuses one more reader of the events.
var errTooMany = fmt.Errorf("%d readers follow the events already", mostReaders)
