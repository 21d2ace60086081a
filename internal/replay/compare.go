package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// checkCompare checks the flags of a comparison of two policies.
func (c *Command) checkCompare() error {
	switch {
	case len(c.RulesFiles) != 2:
		return hint(errors.New("--compare compares two policies"), "--rules A --rules B")
	case standardInputs(c.VIP, c.DIP, c.Both) > 0:
		return hint(errors.New("standard input can be read once, and two policies need it twice"), "the captures must be files")
	case c.OutVIP != "" || c.OutDIP != "" || c.Expect != "" || c.Events:
		return hint(errors.New("--compare goes with --json and --html, not with --out-vip, --out-dip, --expect or --events"), "replay by one policy for these")
	case c.HTML != "" && slices.ContainsFunc(c.RulesFiles, func(rules string) bool { return sameFile(rules, c.HTML) }):
		return hint(fmt.Errorf("%s is a file of rules to read", c.HTML), "nothing was written; name another file")
	}
	return nil
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// compare replays by two policies and writes how they differ.
func (c *Command) compare(ctx context.Context, stdout io.Writer, stderr *os.File) error {
	var names [2]string
	var configs [2]Config
	defer c.closeInputs()
	for i, file := range c.RulesFiles {
		rules, err := readRules(file)
		if err != nil {
			return err
		}
		from := len(c.Inputs)
		if err := c.open(); err != nil {
			return err
		}
		names[i], configs[i] = filepath.Base(file), c.Config
		configs[i].Rules, configs[i].Inputs = rules, c.Inputs[from:]
	}
	if names[0] == names[1] {
		names = [2]string(c.RulesFiles)
	}
	bar := newBar(stderr)
	if bar != nil {
		configs[0].Progress, configs[1].Progress = bar.draw, bar.draw
	}
	p, err := RunPolicies(ctx, names, configs)
	bar.clear()
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writePage(c.HTML, p); err != nil {
			return err
		}
	}
	out := bufio.NewWriter(stdout)
	return errors.Join(c.write(out, p, p), out.Flush())
}

func writePage(path string, p *Policies) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriter(f)
	return errors.Join(p.WriteHTML(out), out.Flush())
}
