package words

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHelpFitsOneScreen(t *testing.T) {
	var out strings.Builder
	w := New(&Env{Stdout: &out, Stderr: &out})
	if status := w.Run(context.Background(), []string{"help"}); status != 0 {
		t.Fatalf("status %d", status)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	const others = 3 // run, demo and replay, which cmd/natlb adds
	if n := len(lines) + others; n > 24 {
		t.Errorf("help has %d lines:\n%s", n, out.String())
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	for _, c := range w.root.Commands() {
		want := c.IsAvailableCommand() && c.Name() != "help"
		if shown := strings.Contains(out.String(), "\n  natlb "+c.Name()+" "); shown != want {
			t.Errorf("%s is shown: %v, want %v", c.Name(), shown, want)
		}
	}
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man8")
	var out strings.Builder
	w := New(&Env{Stdout: &out, Stderr: &out, Version: "1.2.3"})
	if status := w.Run(context.Background(), []string{"man", dir}); status != 0 {
		t.Fatalf("status %d: %s", status, out.String())
	}
	for _, c := range w.root.Commands() {
		page, err := os.ReadFile(filepath.Join(dir, "natlb-"+c.Name()+".8"))
		if c.IsAvailableCommand() && (err != nil || !strings.Contains(string(page), "natlb 1.2.3")) {
			t.Errorf("%s has no page of this version: %v", c.Name(), err)
		}
	}
}
