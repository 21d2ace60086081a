package words

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"0": 0, "500000": 500000, "64K": 64 << 10, "100m": 100 << 20, "2G": 2 << 30} {
		var s byteSize
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q is %d, %v, want %d", text, s, err, want)
		}
		var again byteSize
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q is written as %q, which is %d, %v", text, s, again, err)
		}
	}
	for _, text := range []string{"", "-1", "M", "1.5M", "1T", "9999999999G", "1 M"} {
		var s byteSize
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
}

// TestCaptureRefuses: what makes no sense, and a director that does not agree,
// leave no file.
func TestCaptureRefuses(t *testing.T) {
	startBench(t)
	file := filepath.Join(t.TempDir(), "x.pcapng")
	for line, want := range map[string]string{
		"capture":                                      "--out FILE says where to",
		"capture --out " + file + " more":              `unknown command "more"`,
		"capture --out - --json":                       "--json and --out - want the same output",
		"capture --out " + file + " --count -1":        "a limit is a number from 0 on",
		"capture --out " + file + " --for -1s":         "a limit is a number from 0 on",
		"capture --out " + file + " --size many":       "it takes a number of bytes",
		"capture --out " + file + " --client nobody":   "--client takes an address or a network",
		"capture --out " + file + " -t 1.2.3.4:5 -f 1": "name one service",
		"capture --out " + file:                        "unsupported operation",
		"capture --out " + file + " --socket /nowhere": "no director",
	} {
		_, stderr, status := say(t, line)
		if status == 0 || !strings.Contains(strings.ToLower(stderr), strings.ToLower(want)) {
			t.Errorf("natlb %s: status %d, %q, want %q", line, status, stderr, want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("natlb %s has left a file", line)
		}
	}
}

// TestNoDirectorNoTable: nothing is listed before the director has answered.
func TestNoDirectorNoTable(t *testing.T) {
	stdout, stderr, status := say(t, "conns --socket /nowhere")
	if stdout != "" || status != 2 || !strings.Contains(stderr, "no director") {
		t.Errorf("natlb conns prints %q, %q, status %d", stdout, stderr, status)
	}
}
