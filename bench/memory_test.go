package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkGC collects garbage in a director with many connections and in one
// with none, and reports the process's resident memory, and what of it a
// connection takes.
func BenchmarkGC(b *testing.B) {
	for _, n := range []int{0, 10_000_000} {
		if n > 0 && testing.Short() {
			n = 100_000
		}
		b.Run(fmt.Sprintf("conns=%s", short(n)), func(b *testing.B) {
			established.w, established.flows = nil, nil
			before := resident(b)
			w := newWorld(b, plain, nil)
			w.open(b, n)
			after := resident(b)
			cpu := cpuTime(unix.CLOCK_PROCESS_CPUTIME_ID)
			for b.Loop() {
				runtime.GC()
			}
			b.ReportMetric(float64(cpuTime(unix.CLOCK_PROCESS_CPUTIME_ID)-cpu)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(after)/1e6, "rss-MB")
			if n > 0 {
				b.ReportMetric(float64(after-before)/float64(n), "rss-B/conn")
			}
			runtime.KeepAlive(w)
		})
	}
}

// resident returns the bytes of the process's memory that are in RAM, once the
// garbage has been given back.
func resident(b *testing.B) int64 {
	b.Helper()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
