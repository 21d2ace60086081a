package lab

import (
	"fmt"
	"os"
	"strings"
)

// Sysctl sets a kernel setting of the namespace, as sysctl(8) names it:
// "net.ipv4.ip_forward", or with slashes where an interface name has dots in it
// ("net/ipv4/conf/vip0.5/rp_filter"). Only names under net belong to a
// namespace. The error wraps os.ErrNotExist if the kernel has no such setting.
func (n *Namespace) Sysctl(name, value string) error {
	return n.Do(func() error { return setSysctl(name, value) })
}

// setSysctl writes for the namespace of the calling thread: the kernel resolves
// /proc/sys/net by who asks.
func setSysctl(name, value string) error {
	path := name
	if !strings.Contains(name, "/") {
		path = strings.ReplaceAll(name, ".", "/")
	}
	if err := os.WriteFile("/proc/sys/"+path, []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl %s=%s: %w", name, value, err)
	}
	return nil
}
