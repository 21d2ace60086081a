package control

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/ipvs"
)

// TestState: the whole configuration comes over the socket in one piece.
func TestState(t *testing.T) {
	d := &fakeDirector{services: []ipvs.ServiceStatus{{
		Service: webService, Destinations: []ipvs.DestinationStatus{{Destination: webServer, Active: 3}},
	}}}
	client, _ := start(t, d, nil)
	got, err := client.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := &State{Generation: got.Generation, Timeouts: d.Timeouts(), Sysctls: d.Sysctls(), Marks: []string{"-A one", "-A two"}, Sources: []string{"10.0.0.240-10.0.0.241", "fd00::1"}, Services: d.services}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("State (-want +got)\n%s", diff)
	}
}

// TestApplyTo: a transaction that was made for one state is not applied to
// another, and whoever reads again can go on.
func TestApplyTo(t *testing.T) {
	ctx := context.Background()
	d := &fakeDirector{}
	client, _ := start(t, d, nil)
	add := []ipvs.Change{{Kind: ipvs.AddService, Service: webService}}
	state := func() *State {
		s, err := client.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := state()
	if state().Generation != old.Generation {
		t.Error("reading the state has changed its generation")
	}
	d.refusal = &ipvs.ChangeError{Kind: ipvs.AddService, Err: ipvs.ErrServiceExists}
	if err := client.ApplyTo(ctx, old.Generation, add); !errors.Is(err, ipvs.ErrServiceExists) {
		t.Errorf("ApplyTo of a refused change = %v, want %v", err, ipvs.ErrServiceExists)
	}
	d.refusal = nil
	if err := client.ApplyTo(ctx, old.Generation, add); err != nil {
		t.Errorf("ApplyTo the state that was read = %v", err)
	}
	for _, generation := range []uint64{old.Generation, old.Generation + 2} {
		if err := client.ApplyTo(ctx, generation, add); !errors.Is(err, ErrChanged) {
			t.Errorf("ApplyTo another state = %v, want %v", err, ErrChanged)
		}
	}
	if err := client.Apply(ctx, add); err != nil {
		t.Errorf("Apply to any state = %v", err)
	}
	if err := client.ApplyTo(ctx, state().Generation, add); err != nil {
		t.Errorf("ApplyTo the state read again = %v", err)
	}
	if len(d.applied) != 3 {
		t.Errorf("%d transactions were carried out, want 3", len(d.applied))
	}
}

// TestCheckOnly: a dry run says what would be refused and does nothing.
func TestCheckOnly(t *testing.T) {
	ctx := context.Background()
	d := &fakeDirector{}
	client, _ := start(t, d, nil)
	before, err := client.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	good := []ipvs.Change{{Kind: ipvs.AddService, Service: webService}}
	if err := client.Check(ctx, good); err != nil {
		t.Errorf("Check = %v", err)
	}
	if err := client.Check(ctx, []ipvs.Change{{Kind: ipvs.SetSysctl}}); !errors.Is(err, ipvs.ErrInvalid) {
		t.Errorf("Check of a sysctl without a name = %v, want %v", err, ipvs.ErrInvalid)
	}
	d.refusal = ipvs.ErrServiceExists
	if err := client.Check(ctx, good); !errors.Is(err, ipvs.ErrServiceExists) {
		t.Errorf("Check of what the director refuses = %v, want %v", err, ipvs.ErrServiceExists)
	}
	after, err := client.State(ctx)
	if err != nil || after.Generation != before.Generation || len(d.applied) != 0 {
		t.Errorf("after checks: %v, %d transactions, generation %d (was %d)", err, len(d.applied), after.Generation, before.Generation)
	}
}
