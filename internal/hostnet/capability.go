package hostnet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that a director needs, by their names in
// capabilities(7).
var needed = []struct {
	name string
	bit  uint
}{
	{"cap_net_raw", unix.CAP_NET_RAW},
	{"cap_net_admin", unix.CAP_NET_ADMIN},
}

// Capabilities returns which of the capabilities that a director needs the
// calling thread has in effect: cap_net_raw for packets, cap_net_admin for the
// guard, neighbours and large buffers.
func Capabilities() ([]string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("capget: %w", err)
	}
	has := []string{}
	for _, c := range needed {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) != 0 {
			has = append(has, c.name)
		}
	}
	return has, nil
}
