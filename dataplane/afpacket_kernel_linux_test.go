package dataplane

import "testing"

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.1.0-56-amd64": false, "6.2.0": true, "6.10.3-arch1": true, "6.2-rc1": true, "7.0.1": true,
		"5.15.0-91-generic": false, "4.4.0": false, "10.0": true, "": false, "six": false,
	} {
		if got := atLeast(release, 6, 2); got != want {
			t.Errorf("atLeast(%q, 6, 2) = %t, want %t", release, got, want)
		}
	}
}
