package sched

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// block is a piece of the walk-through: the file that it is about, and what to
// do with it.
var block = regexp.MustCompile("(?s)`(sched/[a-z_]+\\.go)`:\n\n```(go|diff)\n(.*?)```")

// TestWritingAScheduler does in a copy of the package what
// docs/writing-a-scheduler.md says, and runs the copy's tests.
func TestWritingAScheduler(t *testing.T) {
	document, err := os.ReadFile("../docs/writing-a-scheduler.md")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, pattern := range []string{"../go.mod", "../go.sum", "../ipvs/*.go", "*.go", "../tools/oracle/records/open/o6-[dfh]*.json"} {
		copyFiles(t, root, pattern)
	}
	if err := os.Remove(filepath.Join(root, "sched/document_test.go")); err != nil {
		t.Fatal(err) // in the copy this test would look for the document
	}
	var touched []string
	for _, b := range block.FindAllStringSubmatch(string(document), -1) {
		apply(t, filepath.Join(root, b[1]), b[2], b[3])
		touched = append(touched, b[1])
	}
	if want := []string{"sched/room.go", "sched/names.go", "sched/sched_test.go", "sched/reference_test.go", "sched/room_test.go"}; !slices.Equal(touched, want) {
		t.Fatalf("the document's steps are about %q, want %q", touched, want)
	}
	for _, command := range [][]string{{"vet", "./sched"}, {"test", "-v", "-count=1", "./sched"}} {
		cmd := exec.Command("go", command...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s in the copy: %v\n%s", strings.Join(command, " "), err, out)
		}
		if command[0] == "test" && !strings.Contains(string(out), "--- PASS: TestRoom ") {
			t.Errorf("go test in the copy did not run the document's test:\n%s", out)
		}
	}
}

// copyFiles copies files of this module to their places below root.
func copyFiles(t *testing.T, root, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files like %s: %v", pattern, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, "sched", file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// apply writes a new file, or makes the change that a diff shows: its lines are
// the whole of what is found and of what stands there afterwards.
func apply(t *testing.T, file, kind, text string) {
	t.Helper()
	old, err := os.ReadFile(file)
	if kind == "go" {
		if err == nil {
			t.Fatalf("%s is there already", file)
		}
	} else {
		var before, after strings.Builder
		for line := range strings.Lines(text) {
			if line[0] != '+' {
				before.WriteString(line[1:])
			}
			if line[0] != '-' {
				after.WriteString(line[1:])
			}
		}
		from, to := strings.TrimSuffix(before.String(), "\n"), strings.TrimSuffix(after.String(), "\n")
		if n := strings.Count(string(old), from); err != nil || n != 1 {
			t.Fatalf("%s has %d places like %q, want 1 (%v)", file, n, from, err)
		}
		text = strings.Replace(string(old), from, to, 1)
	}
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		t.Errorf("%s is not as gofmt writes it (%v)", file, err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLBLCCountsOnce: an address whose server is picked anew is still one
// mapping (docs/differences.md).
func TestLBLCCountsOnce(t *testing.T) {
	w := newWorld(t, "lblc", 0, 1, 1)
	first := w.Schedule(&Flow{VIP: vip(1)}, time.Second)
	w.edit(first, 0)
	if again := w.Schedule(&Flow{VIP: vip(1)}, time.Second); again == nil || again == first {
		t.Fatalf("after r%s was quiesced lblc picks %s, want the other", shown(first), shown(again))
	}
	if got := w.Scheduler.(*lblc).entries; got != 1 {
		t.Errorf("entries of one address after two picks = %d, want 1", got)
	}
}
