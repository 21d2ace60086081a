package daemon

import (
	"os"
	"strconv"
	"strings"
	"time"

	"natlb/dataplane"
)

// readICMPLimits returns the host's own limits on ICMP errors, which natlb's
// answers keep to as the kernel's would.
func readICMPLimits() dataplane.ICMPLimits {
	l := dataplane.DefaultICMPLimits
	if ms, ok := readSysctl("ipv4/icmp_ratelimit"); ok {
		l.RateLimit = time.Duration(ms) * time.Millisecond
	}
	if ms, ok := readSysctl("ipv6/icmp/ratelimit"); ok {
		l.RateLimit6 = time.Duration(ms) * time.Millisecond
	}
	if n, ok := readSysctl("ipv4/icmp_msgs_per_sec"); ok {
		l.PerSecond = n
	}
	if n, ok := readSysctl("ipv4/icmp_msgs_burst"); ok {
		l.Burst = n
	}
	return l
}

func readSysctl(name string) (int, bool) {
	b, err := os.ReadFile("/proc/sys/net/" + name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return n, err == nil && n >= 0
}
