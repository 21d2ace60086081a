package lab

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// spendThread runs f on a thread that ends with it, so that f may change what
// belongs to a thread. It does not wait for f. Never the main thread: Go cannot
// end that one, it would keep the namespace it is in until the program ends.
func spendThread(f func()) {
	settled := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked by the thread to be spent: it is thrown away instead
		if unix.Gettid() == os.Getpid() {
			spendThread(f) // elsewhere, because this goroutine holds the main thread meanwhile
			runtime.UnlockOSThread()
			close(settled)
			return
		}
		close(settled)
		f()
	}()
	<-settled
}
