package daemon

import (
	"math"
	"strings"
	"testing"

	"natlb/dataplane"
)

// TestConfigBounds: numbers that cannot work are refused, with the flag's name and what
// it takes; the bounds themselves are good.
func TestConfigBounds(t *testing.T) {
	good := Config{VIPLinks: []string{"vip0"}, DIPLinks: []string{"dip0"}, Guard: GuardAuto, Polling: dataplane.PollIdle}
	for _, tt := range []struct {
		name string
		set  func(*Config)
		want string // in the refusal; empty: it is good
	}{
		{"nothing", func(*Config) {}, ""},
		{"shards", func(c *Config) { c.Shards = maxShards }, ""},
		{"too many shards", func(c *Config) { c.Shards = maxShards + 1 }, "--shards takes a number from 1 to 256"},
		{"negative shards", func(c *Config) { c.Shards = -1 }, "--shards takes"},
		{"ring", func(c *Config) { c.Ring = maxRing }, ""},
		{"ring by speed", func(c *Config) { c.Ring = RingBySpeed }, ""},
		{"too long a ring", func(c *Config) { c.Ring = maxRing + 1 }, "--ring takes"},
		{"negative ring", func(c *Config) { c.Ring = -2 }, "--ring takes"},
		{"connections", func(c *Config) { c.MaxConns = maxMaxConns }, ""},
		{"negative connections", func(c *Config) { c.MaxConns = -1 }, "--max-conns takes"},
		{"more connections than have names", func(c *Config) { c.MaxConns = maxMaxConns + 1 }, "--max-conns takes"},
		{"the greatest number", func(c *Config) { c.MaxConns = math.MaxInt }, "--max-conns takes"},
		{"poll", func(c *Config) { c.Polling = "often" }, "--poll takes idle, adaptive or busy"},
	} {
		c := good
		tt.set(&c)
		err := c.check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
