package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"natlb/internal/replay"
	"natlb/internal/words"
)

var update = flag.Bool("update", false, "write what the commands of docs/replay.md print into it")

const (
	replayPage = "../../docs/replay.md"
	captures   = "../../internal/replay/testdata"
)

// TestReplayPage: the commands of docs/replay.md print what the page says.
func TestReplayPage(t *testing.T) {
	page, err := filepath.Abs(replayPage)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(captures)
	block := regexp.MustCompile("(?s)```\n\\$ natlb replay ([^\n]*)\n(.*?)```\n")
	stored := filepath.Join(t.TempDir(), "stored")
	n := 0
	got := block.ReplaceAllStringFunc(string(text), func(b string) string {
		n++
		args := strings.Fields(block.FindStringSubmatch(b)[1])
		for i, a := range args {
			if a == "stored" { // a folder of the reader's
				args[i] = stored
			}
		}
		var out bytes.Buffer
		cmd := replayCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		var exit words.Exit
		if err := cmd.ExecuteContext(t.Context()); err != nil && !errors.As(err, &exit) {
			t.Fatalf("natlb replay %v: %v", args, err)
		}
		head, _, _ := strings.Cut(b, "\n$ natlb")
		lines := regexp.MustCompile(`(?m) +$`).ReplaceAllString(out.String(), "")
		return head + "\n$ natlb replay " + block.FindStringSubmatch(b)[1] + "\n" + lines + "```\n"
	})
	if n < 4 {
		t.Errorf("the page has %d commands, want the whole hunt", n)
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("docs/replay.md is not what natlb prints: go test ./cmd/natlb -update; it would be:\n%s", got)
	}
}

// TestReplayStatus: a replay that differs has an exit status of its own.
func TestReplayStatus(t *testing.T) {
	dir := filepath.Join(captures, "hunt")
	args := []string{"--rules", filepath.Join(dir, "fixed.rules"), "--vip", filepath.Join(dir, "vip.pcap"), "--expect", filepath.Join(dir, "expect")}
	for _, tt := range []struct {
		args []string
		want error
	}{
		{args, words.Exit(replayDiffers)},
		{args[2:], words.Exit(1)},                                   // no rules
		{append(args[:2:2], "--vip-vlan", "x"), nil},                // cobra's own refusal
		{append(args[:4:4], "--ftp-ports", "70000"), words.Exit(1)}, // no port
		{append(args[:4:4], "--no-ftp", "--json", "--events"), error(nil)},
	} {
		cmd := replayCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(tt.args)
		cmd.SetOut(new(bytes.Buffer))
		err := cmd.ExecuteContext(t.Context())
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && errors.Is(err, replay.ErrDiffers) {
			t.Errorf("%v: %v, want %v", tt.args, err, tt.want)
		}
	}
}
