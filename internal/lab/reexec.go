package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// stageVar tells a program that Enter started which of the three it is. It is
// taken out of the environment at once: what the lab starts, natlb in its shell
// included, is a fresh program again.
const stageVar = "NATLB_LAB_STAGE"

const (
	stageInit   = "init"
	stageInside = "inside"
)

// passedOn are the signals that the outer process and init hand down. Init gets
// no other from inside: pid 1 sees only signals that it has a handler for.
var passedOn = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// Enter moves the program into fresh network, mount and pid namespaces, with
// its own /proc and an empty /run that vanishes with it. As an ordinary user it
// is root of a user namespace there; root needs none. It has to be called
// early, with os.Args untouched, because it starts the program again with the
// same arguments:
//
//	inside, code, err := lab.Enter()
//	if err != nil { say it, end }     // one line: what to do about it
//	if !inside    { os.Exit(code) }   // the work is done, in the program started again
//	...                               // the work
//
// In the outer process Enter returns when the program inside has ended, with
// its exit status (128 + signal if a signal ended it). Signals SIGINT, SIGTERM,
// SIGHUP and SIGQUIT are passed on. Whichever of the processes is killed, all
// of them end.
func Enter() (inside bool, code int, err error) {
	stage := os.Getenv(stageVar)
	if err := os.Unsetenv(stageVar); err != nil {
		return false, 0, err
	}
	switch {
	case stage == stageInit && os.Getpid() == 1:
		os.Exit(runInit())
	case stage == stageInside && os.Getppid() == 1:
		return true, 0, nil
	}
	code, err = runOuter()
	return false, code, err
}

// runOuter starts init in its namespaces and waits for its end. An ordinary
// user, and a root without the capability, needs a user namespace of his own.
func runOuter() (code int, err error) {
	// init dies with the thread that started it: stay on it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if os.Geteuid() == 0 {
		code, err = startInit(false)
		if !errors.Is(err, syscall.EPERM) {
			return code, withAdvice(err)
		}
	}
	code, err = startInit(true)
	return code, withAdvice(err)
}

// startInit runs one attempt: init started, set up and ended. An error means
// that the program never ran inside.
func startInit(userNamespace bool) (code int, err error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ours.Close()

	cmd := sameProgram(stageInit)
	cmd.ExtraFiles = []*os.File{theirs} // where init says why it cannot set up
	cmd.SysProcAttr = namespaces(userNamespace)
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return 0, err
	}
	stop := passSignals(cmd.Process)
	defer stop()

	complaint, readErr := io.ReadAll(ours) // ends when init has set up, or has died
	waitErr := cmd.Wait()
	if len(complaint) > 0 {
		return 0, errors.New(string(complaint))
	}
	if cmd.ProcessState == nil || readErr != nil {
		return 0, errors.Join(waitErr, readErr)
	}
	return exitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// sameProgram is this program again with the same arguments and files.
func sameProgram(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageVar+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// namespaces are the clone flags of init; in a user namespace the caller's own
// user is root.
func namespaces(userNamespace bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if userNamespace {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// passSignals hands the signals of passedOn to p until stop is called.
func passSignals(p *os.Process) (stop func()) {
	signals := make(chan os.Signal, len(passedOn))
	signal.Notify(signals, passedOn...)
	go func() {
		for s := range signals {
			// Its end is what Wait reports; a signal that comes too late is nobody's.
			_ = p.Signal(s)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// exitStatus is the status that a shell would report.
func exitStatus(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// withAdvice adds what to do about it to the reason why namespaces cannot be had.
func withAdvice(err error) error {
	if err == nil {
		return nil
	}
	if clone := (*os.PathError)(nil); errors.As(err, &clone) {
		err = clone.Err // the path is this program's, which is not what is wrong
	}
	return fmt.Errorf("no network namespaces to be had (%w): %s", err, advice(os.Geteuid() == 0, readSetting))
}
