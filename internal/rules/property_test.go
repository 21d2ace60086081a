package rules

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"natlb/internal/control"
	"natlb/ipvs"
)

var byValue = cmpopts.EquateComparable(netip.AddrPort{})

// TestSaveApplySave: what one director saves makes any other the same, whatever
// that was before; saved there it is the same text, and applied again it changes
// nothing.
func TestSaveApplySave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, stopFrom := serve(t)
		defer stopFrom()
		to, stopTo := serve(t)
		defer stopTo()
		for _, d := range []*served{from, to} {
			for range rapid.IntRange(1, 2).Draw(t, "transactions") { // the second meets servers in the trash
				changes := []ipvs.Change{{Kind: ipvs.FlushServices}, {Kind: ipvs.ChangeMarks, Words: []string{"-F"}}}
				if old := d.state(t).Sources; len(old) > 0 {
					changes = append(changes, ipvs.Change{Kind: ipvs.ChangeSources, Words: append([]string{"delete"}, old...)})
				}
				changes = append(changes, drawTransaction(t)...)
				if err := d.client.Apply(context.Background(), changes); err != nil {
					t.Fatal(err)
				}
			}
		}
		saved := from.save(t)
		if again := from.apply(t, saved); !again.Empty() {
			t.Fatalf("what was saved is not what is there:\n%s", again.text())
		}
		diff := to.apply(t, saved)
		if diff := cmp.Diff(saved, to.save(t)); diff != "" {
			t.Fatalf("saved, applied, saved (-first +second)\n%s", diff)
		}
		if again := to.apply(t, saved); !again.Empty() {
			t.Fatalf("after\n%sapplying again does\n%s", diff.text(), again.text())
		}
		if diff := Compare(from.state(t), to.state(t)); !diff.Empty() || len(diff.Steps) > 0 {
			t.Fatalf("the directors differ:\n%s", diff.text())
		}
	})
}

// TestCompareTouchesOnlyWhatDiffers: nothing that both states have alike is in the
// transaction, and every line shown has something to do.
func TestCompareTouchesOnlyWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := func() *control.State {
			d := newScratch()
			if err := d.Apply(drawTransaction(t)); err != nil {
				t.Fatal(err)
			}
			s, err := control.ReadState(d)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		is, wanted := state(), state()
		if rapid.Bool().Draw(t, "related") { // else most have no service in common
			wanted.Services = append(wanted.Services[:0:0], is.Services...)
			if n := len(wanted.Services); n > 0 && len(wanted.Services[n-1].Destinations) > 0 {
				last := &wanted.Services[n-1]
				last.Destinations = append(last.Destinations[:0:0], last.Destinations...)
				last.Destinations[0].Weight = 3
			}
		}
		here, there := byKey(is.Services), byKey(wanted.Services)
		d := Compare(is, wanted)
		if d.Empty() != (len(d.Steps) == 0) {
			t.Fatalf("%d changes and the lines\n%s", len(d.Changes), d.text())
		}
		for _, c := range d.Changes {
			a, b := here[c.Service.Key], there[c.Service.Key]
			switch {
			case c.Service.Key == (ipvs.ServiceKey{}) || a == nil || b == nil:
			case cmp.Equal(a, b, byValue):
				t.Fatalf("%v of %v, which is the same in both states", c.Kind, c.Service.Key)
			case c.Kind == ipvs.EditDestination:
				if x, y := byAddr(a.Destinations)[c.Destination.Addr], byAddr(b.Destinations)[c.Destination.Addr]; *x == *y {
					t.Fatalf("edit of %v, which is the same in both states", c.Destination.Addr)
				}
			}
		}
	})
}

// TestLineDiff: the lines that stay, with those that go or come, are the lists.
func TestLineDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 8)
		old, new := list.Draw(t, "old"), list.Draw(t, "new")
		gone, come := map[string]int{}, map[string]int{}
		for _, l := range lineDiff(old, new) {
			map[string]map[string]int{"-": gone, "+": come}[l.sign][l.text]++
		}
		for _, text := range []string{"a", "b", "c"} {
			count := func(list []string) (n int) {
				for _, l := range list {
					if l == text {
						n++
					}
				}
				return n
			}
			if count(old)-gone[text]+come[text] != count(new) {
				t.Fatalf("%v to %v: %v", old, new, lineDiff(old, new))
			}
		}
		if len(lineDiff(old, old)) != 0 {
			t.Fatalf("%v differs from itself", old)
		}
	})
}
