package hostnet

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace kept by its file, so that work can be done
// in it from any goroutine, later.
type namespace struct {
	file *os.File
	info os.FileInfo
}

// threadNamespace returns the namespace of the calling thread, which must be
// locked to its goroutine.
func threadNamespace() (*namespace, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &namespace{f, info}, nil
}

// do runs f on a thread that is in the namespace. When the caller's thread
// already is, as always outside tests, no privilege is needed; else a thread
// enters it (CAP_SYS_ADMIN) and ends afterwards, so that no goroutine can
// inherit a thread in the wrong namespace.
func (ns *namespace) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := threadNamespace()
	if err != nil {
		return err
	}
	defer here.file.Close()
	if os.SameFile(here.info, ns.info) {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		result <- f()
	}()
	return <-result
}
