package doctor

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread in the network namespace with that inode, which
// process pid is in, and waits for it. elsewhere says why that was not possible;
// f has not run then. Entering another namespace needs CAP_SYS_ADMIN.
func inNamespace(pid int, inode uint64, f func()) (elsewhere string) {
	here, err := inodeOf("/proc/thread-self/ns/net")
	if err != nil {
		return err.Error()
	}
	if inode == 0 || here == inode {
		f()
		return ""
	}
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	there, err := inodeOf(path)
	if err != nil {
		return err.Error()
	}
	if there != inode {
		return fmt.Sprintf("pid %d is another process here (the director runs in a container?)", pid)
	}
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	done := make(chan string, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Sprintf("enter it: %v", err)
			return
		}
		f()
		done <- ""
	}()
	return <-done
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat %s: no inode", path)
	}
	return st.Ino, nil
}
