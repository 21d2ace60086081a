package oracletest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompareRecordings: every recording equals itself, and no field of any of
// its steps can change unnoticed.
func TestCompareRecordings(t *testing.T) {
	files, err := filepath.Glob(oracleDir + "/records/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	spoiled := 0
	for _, file := range files {
		var rec record
		readJSON(t, file, &rec)
		for i, s := range rec.Steps {
			if ds := compareResults(s.Step, s.Result, s.Result); ds != nil {
				t.Fatalf("%s, step %d: differs from itself: %v", rec.Name, i, ds)
			}
			if slices.Contains(preparations, s.Step.op()) {
				continue
			}
			for field, v := range s.Result {
				bad := result{}
				for f, v := range s.Result {
					bad[f] = v
				}
				bad[field] = spoil(v)
				if compareResults(s.Step, s.Result, bad) == nil {
					t.Fatalf("%s, step %d: %s is %v instead of %v, and nothing is said", rec.Name, i, field, bad[field], v)
				}
				spoiled++
			}
		}
	}
	if spoiled == 0 {
		t.Fatal("nothing was compared")
	}
}

func spoil(v any) any {
	switch v := v.(type) {
	case string:
		return v + "x"
	case float64:
		return v + 1
	case []any:
		return append(slices.Clone(v), "x")
	}
	return "x"
}

func TestCompareText(t *testing.T) {
	const head = "IPVS connection entries"
	for _, c := range []struct {
		what      string
		args      string
		want, got string
		same      bool
	}{
		{"trailing blank", "-Ln", "a ", "a", false},
		{"the program's name", "-Ln", "Try `ipvsadm -h'", "Try `natlb -h'", true},
		{"order of connections", "-Lnc", head + "\nTCP 14:59  A x\nTCP 14:59  B x", head + "\nTCP 14:59  B x\nTCP 14:59  A x", true},
		{"expiry within 3 s", "-Lnc", "TCP 15:00  A x", "TCP 14:57  A x", true},
		{"expiry beyond 3 s", "-Lnc", "TCP 15:00  A x", "TCP 14:56  A x", false},
		{"expiry in hours", "-Lnc", "TCP 01:00:00  A x", "TCP 60:00  A x", true},
		{"a connection too many", "-Lnc", "TCP 15:00  A x", "TCP 15:00  A x\nTCP 15:00  A x", false},
		{"a connection too few", "-Lnc", "TCP 15:00  A x\nTCP 15:00  B x", "TCP 15:00  B x", false},
		{"state", "-Lnc", "TCP 15:00  A x", "TCP 15:00  B x", false},
		{"connections", "-Ln --stats", "TCP  x  1  9  9  99  99", "TCP  x  2  9  9  99  99", false},
		{"bytes", "-Ln --stats", "TCP  x  1  9  9  99  99", "TCP  x  1  9  9  99  98", false},
		{"rates", "-Ln --rate", "TCP  x  1  9  9  99  99", "TCP  x  2  8  0  1  0", true},
		{"label of rates", "-Ln --rate", "TCP  x  1  9  9  99  99", "TCP  y  1  9  9  99  99", false},
		{"a rate too few", "-Ln --rate", "TCP  x  1  9  9  99  99", "TCP  x  1  9  9  99", false},
		{"rates beside counters", "-Ln --stats --rate", "TCP  x  1  9  9  99  99", "TCP  x  1  9  9  99  98", false},
		{"order of services", "-Ln --nosort", "1\n2\n3\nA\n -> a\nB", "1\n2\n3\nB\nA\n -> a", true},
		{"order of servers", "-Ln --nosort", "1\n2\n3\nA\n -> a\n -> b", "1\n2\n3\nA\n -> b\n -> a", false},
	} {
		s := step{"op": "show", "args": c.args}
		ds := compareResults(s, result{"out": asAny(c.want)}, result{"out": asAny(c.got)})
		if same := len(ds) == 0; same != c.same {
			t.Errorf("%s: equal is %v, want %v (%v)", c.what, same, c.same, ds)
		}
	}
}

func asAny(text string) (out []any) {
	for _, l := range strings.Split(text, "\n") {
		out = append(out, l)
	}
	return out
}

func TestComparePackets(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"A TCP 80>5 A seq=77 ack=9 len=0", "A TCP 80>5 A seq=78 ack=10 len=0", true}, // a server draws its own
		{"A TCP 80>5 A seq=s+1 ack=9 len=0", "A TCP 80>5 A seq=s+2 ack=9 len=0", false},
		{"A TCP 80>5 A seq=77 ack=9 len=0", "A TCP 80>5 A seq=77 ack=9 len=1", false},
		{"A ttl=63", "A ttl=64", false},
		{"A TCP 80>5 SA", "A TCP 80>5 A", false},
	} {
		ds := compareResults(step{"op": "raw"}, result{"back": asAny(c.want)}, result{"back": asAny(c.got)})
		if same := len(ds) == 0; same != c.same {
			t.Errorf("%q and %q: equal is %v, want %v", c.want, c.got, same, c.same)
		}
	}
}
