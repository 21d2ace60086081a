package lab

import (
	"os"
	"strings"
)

// advice says what to do when namespaces are refused, from what the machine's
// settings say about ordinary users; setting reads one ("" if it does not
// exist).
func advice(root bool, setting func(name string) string) string {
	switch {
	case root:
		return "in a container, start it with --privileged (it takes CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW)"
	case setting("user/max_user_namespaces") == "0":
		return "run it with sudo, or allow them: sudo sysctl -w user.max_user_namespaces=10000"
	case setting("kernel/unprivileged_userns_clone") == "0":
		return "run it with sudo, or allow them: sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "run it with sudo, or allow them: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
	}
	return "run it with sudo"
}

// readSetting is a value under /proc/sys, "" if there is none.
func readSetting(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
