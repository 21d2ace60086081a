package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/rules"
)

// readRules reads a rules file. Files can block (a FIFO) and names in them take
// their time to look up: a director that is told to stop does not wait for them.
func readRules(ctx context.Context, name string) (file *rules.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var f *os.File
		if f, err = os.Open(name); err != nil {
			err = fmt.Errorf("rules: %w", err)
			return
		}
		defer f.Close()
		file, err = rules.Read(f, name)
	}()
	select {
	case <-done:
		return file, err
	case <-ctx.Done():
		return nil, errors.New("stopped while reading the rules")
	}
}

// reload makes the rules file the running state again, each time that it is
// asked for.
func (d *daemon) reload(ctx context.Context, server *control.Server) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.cfg.Reload:
		}
		if d.cfg.Rules == "" {
			d.cfg.Log.Warn("SIGHUP: there is no rules file to apply again, since natlb run was given no --rules; natlb apply FILE applies one")
			continue
		}
		d.reapply(ctx, server)
	}
}

// reapply is one reload. What the director refuses, or a fault in the file, leaves
// the running state as it is.
func (d *daemon) reapply(ctx context.Context, server *control.Server) {
	log := d.cfg.Log.With("rules", d.cfg.Rules)
	file, err := readRules(ctx, d.cfg.Rules)
	var diff *rules.Diff
	if err == nil {
		diff, err = rules.Apply(ctx, server, file.Wanted, func(*rules.Diff) error { return nil })
	}
	if ctx.Err() != nil {
		return // the director ends
	}
	if err != nil && diff != nil {
		if fault, ok := file.Blame(diff.Changes, err); ok {
			err = ipvsadm.RuleFaults{fault}
		}
	}
	var faults ipvsadm.RuleFaults
	switch {
	case errors.As(err, &faults):
		for i := range faults {
			log.Error("fault in the rules file", "err", faults[i].Error(), "hint", faults[i].Hint)
		}
		log.Error("SIGHUP: the running state is as it was", "faults", len(faults))
	case err != nil:
		log.Error("SIGHUP: the running state is as it was", "err", err)
	case diff.Empty():
		log.Info("SIGHUP: the rules are the running state already")
	default:
		for _, s := range diff.Steps {
			log.Debug("rules", "sign", s.Sign, "rule", s.Rule, "was", s.Was)
		}
		log.Info("SIGHUP: the rules are applied", "differences", len(diff.Steps))
	}
}
