package ipvsadm

import (
	"fmt"

	"natlb/internal/control"
	"natlb/ipvs"
)

// command is one command with the options that go with it; all others are
// illegal with it.
type command struct {
	name  string // in messages
	long  string
	short byte
	alias byte // a second letter
	value valueKind

	needs optSet
	takes optSet
	oneOf optSet // at most one of them

	final bool                     // acts at once, whatever follows
	words int                      // how many leftover words belong to the command
	begin func(value string) error // judges the command's own value

	// Exactly one of these: the change that the command makes, or what it does
	// else.
	kind ipvs.ChangeKind
	run  func(s *invocation, ln *line) error
}

var (
	serviceOptions = of(optScheduler, optPersistent, optNetmask, optOps, optEngine, optSchedFlags)
	serverOptions  = of(optForward, optWeight, optUpper, optLower, optTOA) | tunnelOptions
	tunnelOptions  = of(optTunType, optTunPort, optTunNocsum, optTunCsum, optTunRemcsum)
	listOptions    = of(optNumeric, optStats, optRate, optThresholds, optPersistConn, optNosort, optExact, optTunInfo, optJSON, optSyncID) // syncid: taken and forgotten
	listObjects    = of(optConnection, optService, optTimeout, optDaemon)
	daemonOptions  = of(optMcastInterface, optSyncID, optMcastGroup, optMcastPort, optMcastTTL, optSyncMaxlen)
)

// commands are all commands. Messages call one of them by another name than
// its option: --clear is flush.
func commands() []*command {
	return []*command{
		{name: "add-service", long: "add-service", short: 'A', needs: of(optService), takes: serviceOptions, kind: ipvs.AddService},
		{name: "edit-service", long: "edit-service", short: 'E', needs: of(optService), takes: serviceOptions, kind: ipvs.EditService},
		{name: "delete-service", long: "delete-service", short: 'D', needs: of(optService), kind: ipvs.DeleteService},
		{name: "flush", long: "clear", short: 'C', kind: ipvs.FlushServices},
		{name: "list", long: "list", short: 'L', alias: 'l', takes: listOptions, oneOf: listObjects, run: (*invocation).list},
		{name: "add-server", long: "add-server", short: 'a', needs: of(optService, optServer), takes: serverOptions, kind: ipvs.AddDestination},
		{name: "edit-server", long: "edit-server", short: 'e', needs: of(optService, optServer), takes: serverOptions, kind: ipvs.EditDestination},
		{name: "delete-server", long: "delete-server", short: 'd', needs: of(optService, optServer), kind: ipvs.DeleteDestination},
		{name: "set", long: "set", words: 3, kind: ipvs.SetTimeouts},
		{name: "start-daemon", long: "start-daemon", value: needsValue, takes: daemonOptions, begin: beginStartDaemon, run: refuseDaemon},
		{name: "stop-daemon", long: "stop-daemon", value: needsValue, takes: of(optSyncID), begin: beginStopDaemon, run: refuseDaemon},
		{name: "restore", long: "restore", short: 'R', run: (*invocation).restore},
		{name: "save", long: "save", short: 'S', takes: of(optNumeric), run: (*invocation).save},
		{name: "zero", long: "zero", short: 'Z', takes: of(optService), kind: ipvs.ZeroStats},
		{name: "help", long: "help", short: 'h', final: true, run: (*invocation).help},
		{name: "version", long: "version", short: 'v', final: true, run: (*invocation).version},
	}
}

func beginStartDaemon(role string) error {
	return daemonRole(role, "illegal start-daemon parameter specified")
}

func beginStopDaemon(role string) error {
	return daemonRole(role, "illegal start_daemon specified")
}

func daemonRole(role, bad string) error {
	if role != "master" && role != "backup" {
		return usage("%s", bad)
	}
	return nil
}

func refuseDaemon(*invocation, *line) error {
	return refusal(control.ErrSyncDaemon, statusRefused)
}

func (s *invocation) help(*line) error {
	fmt.Fprint(s.env.Stdout, versionLine(s.env), helpText(s.env.Prog))
	return done
}

func (s *invocation) version(*line) error {
	fmt.Fprint(s.env.Stdout, versionLine(s.env))
	return done
}
