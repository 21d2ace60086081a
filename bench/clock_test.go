package bench

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu pins the benchmark to its thread and returns what reports its CPU time. On
// a quiet machine that is the elapsed time; on one that others use it leaves out
// the time that they had, though not what they did to the caches.
func cpu(b *testing.B) (report func()) {
	runtime.LockOSThread()
	before := cpuTime(unix.CLOCK_THREAD_CPUTIME_ID)
	return func() {
		spent := cpuTime(unix.CLOCK_THREAD_CPUTIME_ID) - before
		runtime.UnlockOSThread()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	}
}

// cpuTime reads a clock of the process or of the thread.
func cpuTime(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic(err) // every Linux has these clocks
	}
	return time.Duration(ts.Nano())
}
