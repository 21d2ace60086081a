package dataplane

import (
	"testing"
	"time"

	"natlb/rewrite"
)

// TestLimiterOfBothFamilies: each address has its own bucket, in each family a
// price of its own, and all share one.
func TestLimiterOfBothFamilies(t *testing.T) {
	l := &limiter{limits: ICMPLimits{RateLimit: time.Second, RateLimit6: 100 * time.Millisecond, PerSecond: 1000, Burst: 50}}
	six := func(host uint64) func(time.Duration) bool {
		return func(now time.Duration) bool { return l.allow6(rewrite.Addr6{Hi: 0xfd10 << 48, Lo: host}, now) }
	}
	four := func(now time.Duration) bool { return l.allow(0x0a000001, now) }
	burst := func(allow func(time.Duration) bool, now time.Duration) (n int) {
		for allow(now) {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		who   string
		allow func(time.Duration) bool
		now   time.Duration
		want  int
	}{
		{"an address of IPv6", six(1), 0, 6},
		{"another", six(2), 0, 6},
		{"one of IPv4", four, 0, 6},
		{"the first, later", six(1), 250 * time.Millisecond, 2},
		{"that of IPv4, later", four, 250 * time.Millisecond, 0},
		{"that of IPv4, after a second", four, time.Second, 1},
	} {
		if got := burst(tt.allow, tt.now); got != tt.want {
			t.Errorf("%s: %d errors at once, want %d", tt.who, got, tt.want)
		}
	}
	all := 0
	for host := range uint64(100) {
		if six(1000 + host)(10 * time.Second) {
			all++
		}
	}
	if all != 50 {
		t.Errorf("%d errors at once to 100 addresses, want the 50 that all share", all)
	}
	var fork limiter
	l.copyTo(&fork)
	if fork.allow6(rewrite.Addr6{Hi: 1}, 10*time.Second) {
		t.Error("a fork has tokens that the original has not")
	}
	l.limits = ICMPLimits{}
	for range 100 {
		if !six(1)(10 * time.Second) {
			t.Fatal("refused without limits")
		}
	}
}
