package lab

import (
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	tests := []struct {
		name     string
		root     bool
		settings map[string]string
		want     string
	}{
		{"root in a container", true, nil, "--privileged"},
		{"none allowed", false, map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces=10000"},
		{"Debian's switch", false, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"},
		{"Ubuntu's switch", false, map[string]string{
			"user/max_user_namespaces": "96000", "kernel/unprivileged_userns_clone": "1",
			"kernel/apparmor_restrict_unprivileged_userns": "1",
		}, "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"nothing known", false, nil, "run it with sudo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := advice(tt.root, func(name string) string { return tt.settings[name] })
			if !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("advice = %q, want one line with %q", got, tt.want)
			}
		})
	}
}
