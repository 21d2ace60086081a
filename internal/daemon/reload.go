package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/rules"
)

// readRules reads a rules file. A director that is told to stop does not wait for
// it.
func readRules(ctx context.Context, name string) (*rules.File, error) {
	return rules.ReadWithin(ctx, func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		return f, nil
	}, name)
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
