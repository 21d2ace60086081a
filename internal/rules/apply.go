package rules

import (
	"context"
	"errors"

	"natlb/internal/control"
	"natlb/ipvs"
)

// Target is a director that a state is applied to: a [control.Client], or inside
// the director its [control.Server].
type Target interface {
	State(context.Context) (*control.State, error)
	ApplyTo(ctx context.Context, generation uint64, changes []ipvs.Change) error
}

var _, _ Target = (*control.Client)(nil), (*control.Server)(nil)

// tries bounds how often a comparison is made again because somebody else has
// changed the director in the meantime.
const tries = 20

// Apply makes wanted the state of a director, in one transaction: all of it or
// nothing. show is called with what is going to be done, before it is done, and
// nothing is done if it fails; it is called again when the director was changed by
// somebody else in between, and not at all when there is nothing to do. The difference that Apply returns is the one that was
// done, or the one that err is about.
func Apply(ctx context.Context, t Target, wanted *control.State, show func(*Diff) error) (*Diff, error) {
	for try := 1; ; try++ {
		is, err := t.State(ctx)
		if err != nil {
			return new(Diff), err
		}
		d := Compare(is, wanted)
		if d.Empty() {
			return d, nil
		}
		if err := show(d); err != nil {
			return d, err
		}
		err = t.ApplyTo(ctx, is.Generation, d.Changes)
		if !errors.Is(err, control.ErrChanged) || try == tries {
			return d, err
		}
	}
}
