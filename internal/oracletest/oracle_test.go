package oracletest

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// groups are the scenarios that the core in memory is to play: masquerading. Direct
// routing and tunnels have other tests, and of synchronization only the command line
// is here.
var groups = []string{"4a", "4b", "4c", "4d", "4f", "6a", "6d"}

// TestOracle plays every recorded scenario and compares each step with what a
// real kernel did.
func TestOracle(t *testing.T) { oracle(t, setup{shards: 1}) }

// TestOracleOffloaded plays them again, and the hosts leave the checksums of
// their packets to the network devices, as veth and virtio have it.
func TestOracleOffloaded(t *testing.T) { oracle(t, setup{shards: 1, offload: true}) }

// TestOracleShards plays them with three shards, and each frame comes to the next
// one in turn.
func TestOracleShards(t *testing.T) { oracle(t, setup{shards: 3}) }

func oracle(t *testing.T, set setup) {
	files, err := filepath.Glob(oracleDir + "/records/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", oracleDir, err)
	}
	j := &judge{skips: readSkips(t), setup: set, used: map[use]bool{}}
	t.Run("scenario", func(t *testing.T) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			rec := readRecord(t, name)
			if slices.Contains(groups, rec.Group) || strings.HasSuffix(name, "-daemon-cli") {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					j.scenario(t, rec)
				})
			}
		}
	})
	j.stale(t)
}

// judge knows which differences are expected, and sees which of them are there.
type judge struct {
	skips []skip
	setup

	mu             sync.Mutex
	played         []string
	steps, skipped int
	used           map[use]bool
}

// use says that a line of skips.txt was needed by a scenario.
type use struct {
	line int
	name string
}

func (j *judge) scenario(t *testing.T, rec *record) {
	results, err := play(rec, j.setup)
	if err != nil {
		t.Fatal(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.played = append(j.played, rec.Name)
	for i, s := range rec.Steps {
		j.steps++
		want, got := s.Result, results[i]
		if j.offload {
			want, got = unquoted(want), unquoted(got)
		}
		ds := compareResults(s.Step, want, got)
		if len(ds) == 0 {
			continue
		}
		if k := slices.IndexFunc(j.skips, func(k skip) bool { return k.covers(rec.Name, i) }); k >= 0 {
			j.skipped++
			j.used[use{j.skips[k].line, rec.Name}] = true
			continue
		}
		for _, d := range ds {
			t.Errorf("step %d %s: %s, recorded / played: %s", i, asJSON(s.Step), d.field, d.reason)
		}
	}
}

// unquoted leaves out the checksums of packets that ICMP errors quote: one that
// was left to the device is quoted unfinished, by the kernel as by natlb.
func unquoted(r result) (out result) {
	text := strings.ReplaceAll(asJSON(r), " BADSUM }", " }")
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		panic(err)
	}
	return out
}

// stale fails for lines of skips.txt that a scenario does not need (any more).
func (j *judge) stale(t *testing.T) {
	for _, s := range j.skips {
		for _, name := range j.played {
			if s.kind != "unstable" && s.matches(name) && !j.used[use{s.line, name}] {
				t.Errorf("skips.txt:%d: %s plays as recorded: %s is stale", s.line, name, s.reason)
			}
		}
	}
	t.Logf("%d scenarios, %d steps, %d of them differ as skips.txt says", len(j.played), j.steps, j.skipped)
}
