package ipvsadm

import (
	"errors"
	"fmt"

	"natlb/ipvs"
)

// Exit statuses.
const (
	statusListing = 1   // the director refused a listing
	statusUsage   = 2   // the command line is wrong, or there is no director
	statusRefused = 255 // an unknown option, or the director refused a change
)

// fault ends a command line.
type fault struct {
	text   string // for stderr, without its newline; may be empty
	status int
	ends   bool   // inside -R: ends it, where other faults go on with the next line
	cause  error  // what the director said, if it is the director's
	hint   string // for people, on a line of its own; may be empty
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.cause }

func usage(format string, args ...any) error {
	return &fault{text: fmt.Sprintf(format, args...), status: statusUsage, ends: true}
}

// badOption is a fault of popt's kind: word is quoted as typed.
func badOption(word, why string) error {
	return &fault{text: word + ": " + why, status: statusRefused}
}

func tryHelp(prog string) error {
	return &fault{
		text:   fmt.Sprintf("Try `%s -h' or '%s --help' for more information.", prog, prog),
		status: statusRefused, ends: true,
	}
}

// done ends the program with status 0, also inside -R.
var done = &fault{ends: true}

// The refusals of addresses have one text whatever the cause.
const (
	badService = "illegal virtual server address[:port] specified"
	badServer  = "illegal real server address[:port] specified"
)

// refusals are ipvsadm's words for what a director says.
var refusals = []struct {
	err  error
	text string
}{
	{ipvs.ErrServiceExists, "Service already exists"},
	{ipvs.ErrDestinationExists, "Destination already exists"},
	{ipvs.ErrNoSuchService, "No such service"},
	{ipvs.ErrNoSuchDestination, "No such destination"},
	{ipvs.ErrUnknownScheduler, "Scheduler or persistence engine not found"},
	{ipvs.ErrPermission, "Permission denied (you must be root)"},
	{ipvs.ErrInvalid, "Invalid operation.  Possibly wrong module version, address not unicast, ..."},
	{ipvs.ErrRange, "Numerical result out of range"},
	{ipvs.ErrDifferentFamily, "Operation not supported with specified address family"},
}

// refusal puts a director's error in ipvsadm's words. A missing director is
// like a missing kernel module: status 2 and the end, also of -R.
func refusal(err error, status int) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ipvs.ErrDirectorNotRunning) {
		return &fault{text: fmt.Sprintf("natlb: %v; %s", err, startDirector), status: statusUsage, ends: true, cause: err}
	}
	return &fault{text: refusalText(err), status: status, cause: err}
}

func refusalText(err error) string {
	var change *ipvs.ChangeError
	if errors.As(err, &change) {
		err = change.Err
		switch change.Kind {
		case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination:
			if errors.Is(err, ipvs.ErrNoSuchService) {
				return "Service not defined"
			}
		}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return err.Error()
}
