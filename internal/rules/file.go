package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// MaxFile bounds a rules file, in bytes. Far below it a transaction gets too large
// for the control socket.
const MaxFile = 16 << 20

// File is a rules file without a fault.
type File struct {
	*ipvsadm.Rules
	Wanted *control.State // what the lines make of a fresh director
}

// ReadWithin is [Read] of what open opens, and returns when ctx ends: a pipe may
// keep it waiting for ever, and names in the file take their time to look up. The
// fault of open comes back as it is.
func ReadWithin(ctx context.Context, open func() (io.ReadCloser, error), name string) (file *File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var f io.ReadCloser
		if f, err = open(); err == nil {
			defer f.Close()
			file, err = Read(f, name)
		}
	}()
	select {
	case <-done:
		return file, err
	case <-ctx.Done():
		return nil, fmt.Errorf("stopped while reading %s", name)
	}
}

// Read reads and judges a rules file, without a running director. name is the
// file's, for messages. All faults come back together as [ipvsadm.RuleFaults]:
// lines that cannot be read, and what a director would refuse.
func Read(r io.Reader, name string) (*File, error) {
	limited := &io.LimitedReader{R: r, N: MaxFile + 1}
	lines, err := ipvsadm.ParseRules(limited, name)
	if limited.N <= 0 {
		return nil, fmt.Errorf("%s: larger than %d MiB", name, MaxFile>>20)
	}
	var faults ipvsadm.RuleFaults
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	broken := len(faults) > 0
	fresh := newScratch()
	for _, refused := range fresh.Check(lines.Changes) {
		// What a line is missing may be in one that could not be read.
		if broken && (errors.Is(refused, ipvs.ErrNoSuchService) || errors.Is(refused, ipvs.ErrNoSuchDestination)) {
			continue
		}
		faults = append(faults, lines.Fault(refused))
	}
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b ipvsadm.RuleFault) int { return cmp.Compare(a.Line, b.Line) })
		return nil, faults
	}
	if err := fresh.Apply(lines.Changes); err != nil {
		return nil, lines.Locate(err)
	}
	wanted, err := control.ReadState(fresh)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &File{lines, wanted}, nil
}

// Blame returns a director's refusal of one of changes, which are a [Diff]'s, as a
// fault of the last line that is about the same thing; false when no line is.
func (f *File) Blame(changes []ipvs.Change, err error) (ipvsadm.RuleFault, bool) {
	var refused *ipvs.ChangeError
	if !errors.As(err, &refused) || refused.Index >= len(changes) {
		return ipvsadm.RuleFault{}, false
	}
	about := subject(&changes[refused.Index])
	for i, c := range slices.Backward(f.Changes) {
		if subject(&c) == about {
			return f.Fault(&ipvs.ChangeError{Index: i, Kind: refused.Kind, Err: refused.Err}), true
		}
	}
	return ipvsadm.RuleFault{}, false
}

// subject says what a change is about, so that those about the same are equal.
func subject(c *ipvs.Change) string {
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService:
		return "service " + c.Service.Key.String()
	case ipvs.AddDestination, ipvs.EditDestination:
		return "server " + c.Service.Key.String() + " " + c.Destination.Addr.String()
	case ipvs.SetSysctl:
		return "sysctl " + c.Name
	case ipvs.ChangeSources:
		return fmt.Sprintf("source %q", c.Words)
	case ipvs.ChangeMarks:
		return fmt.Sprintf("mark %q", c.Words)
	}
	return c.Kind.String()
}

// scratch is a director that no packet meets.
type scratch struct{ *dataplane.Director }

func newScratch() scratch {
	return scratch{dataplane.NewDirector(dataplane.Config{MaxConns: 1})}
}

// Sysctls implements [control.Source].
func (s scratch) Sysctls() (out []control.Sysctl) {
	for _, x := range s.Director.Sysctls() {
		out = append(out, control.Sysctl(x))
	}
	return out
}
