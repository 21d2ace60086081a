package sched

import (
	"testing"

	"natlb/ipvs"
)

// The sequences of this file come from the scheduler code of Linux 6.19 run
// outside the kernel. Servers are added r1, r2, r3: the list is r3, r2, r1.

func TestRotation(t *testing.T) {
	tests := []struct {
		sched   string
		weights []int32
		want    string // repeats
	}{
		{"rr", []int32{1, 1, 1}, "3 2 1"},
		{"rr", []int32{1, 0, 1}, "3 1"},
		{"rr", []int32{0, 0, 0}, "-"},
		{"rr", nil, "-"},
		{"wrr", []int32{1, 1, 1}, "3 2 1"},
		{"wrr", []int32{3, 1, 2}, "3 2 1 1 3 1"},
		{"wrr", []int32{4, 2, 2}, "3 2 1 1"},
		{"wrr", []int32{5, 1, 1}, "3 2 1 1 1 1 1"},
		{"wrr", []int32{10, 20, 30}, "3 2 1 3 3 2"},
		{"wrr", []int32{10, 20, 25}, "3 2 1 3 3 2 3 2 3 2 1"},
		{"wrr", []int32{0, 0, 0}, "-"},
		{"wrr", nil, "-"},
		{"none", []int32{1, 1, 1}, "-"},
	}
	for _, tt := range tests {
		w := newWorld(t, tt.sched, 0, tt.weights...)
		if got, want := w.picks(24, bindNothing), repeat(tt.want, 24); got != want {
			t.Errorf("%s %v picks %s, want %s", tt.sched, tt.weights, got, want)
		}
	}
}

func TestRotationChanges(t *testing.T) {
	add := func(w *world) { w.add(1) }
	remove2 := func(w *world) { w.remove(w.server(2)) }
	remove3 := func(w *world) { w.remove(w.server(3)) }
	tests := []struct {
		name    string
		sched   string
		weights []int32
		change  func(*world)
		want    string // after the picks 3 2
	}{
		{"add", "rr", []int32{1, 1, 1}, add, "1 4 3 2 1 4 3 2"},
		{"delete the last picked", "rr", []int32{1, 1, 1}, remove2, "1 3 1 3"},
		{"delete another", "rr", []int32{1, 1, 1}, remove3, "1 2 1 2"},
		{"delete both", "rr", []int32{1, 1, 1}, func(w *world) { remove2(w); remove3(w) }, "1 1"},
		{"delete all and add", "rr", []int32{1, 1, 1}, func(w *world) {
			remove2(w)
			remove3(w)
			w.remove(w.server(1))
			add(w)
			add(w)
		}, "5 4 5 4"},
		{"edit", "rr", []int32{1, 1, 1}, func(w *world) { w.edit(w.server(2), 7) }, "1 3 2 1"},
		{"add", "wrr", []int32{1, 1, 1}, add, "4 3 2 1 4 3 2 1"},
		{"delete", "wrr", []int32{1, 1, 1}, remove2, "3 1 3 1"},
		{"edit", "wrr", []int32{3, 1, 2}, func(w *world) { w.edit(w.server(1), 1) }, "3 2 1 3 3 2 1 3"},
	}
	for _, tt := range tests {
		t.Run(tt.sched+" "+tt.name, func(t *testing.T) {
			w := newWorld(t, tt.sched, 0, tt.weights...)
			if got := w.picks(2, bindNothing); got != "3 2" {
				t.Fatalf("first picks %s, want 3 2", got)
			}
			tt.change(w)
			if got := w.picks(len(tt.want)/2+1, bindNothing); got != tt.want {
				t.Errorf("picks after the change %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRotationOverload(t *testing.T) {
	w := newWorld(t, "wrr", 0, 3, 1, 2)
	overload(w.server(1))
	if got, want := w.picks(8, bindNothing), "3 2 3 3 2 3 3 2"; got != want {
		t.Errorf("wrr 3/1/2 with r1 overloaded picks %s, want %s", got, want)
	}
	for _, name := range []string{"rr", "wrr"} {
		w := newWorld(t, name, 0, 3, 1, 2)
		for _, s := range w.servers {
			overload(s)
		}
		if got := w.picks(2, bindNothing); got != "- -" {
			t.Errorf("%s, all overloaded: picks %s, want - -", name, got)
		}
	}
}

func TestLeastConnectionFamily(t *testing.T) {
	same := []int32{1, 1, 1}
	w312, w124, w201 := []int32{3, 1, 2}, []int32{1, 2, 4}, []int32{2, 0, 1}
	active, inactive := bindActive, bindInactive
	tests := []struct {
		sched   string
		weights []int32
		bind    func(*ipvs.RealServer)
		want    string
	}{
		{"lc", same, active, "3 2 1 3 2 1"},
		{"lc", w312, active, "3 2 1 3 2 1"},
		{"lc", w124, active, "3 2 1 3 2 1"},
		{"lc", w201, active, "3 1 3 1 3 1"},
		{"wlc", same, active, "3 2 1 3 2 1"},
		{"wlc", w312, active, "3 2 1 1 3 1 3 2 1 1 3 1"},
		{"wlc", w124, active, "3 2 1 3 3 2 3 3 2 1 3 3 2 3"},
		{"wlc", w201, active, "3 1 1 3 1 1"},
		{"sed", same, active, "3 2 1 3 2 1"},
		{"sed", w312, active, "1 3 1 3 2 1 1 3 1 3 2 1"},
		{"sed", w124, active, "3 3 2 3 3 2 1 3 3 2 3 3 2 1"},
		{"sed", w201, active, "1 3 1 1 3 1"},
		{"nq", same, active, "3 2 1 3 2 1"},
		{"nq", w312, active, "3 2 1 1 3 1 1 3 1 3 2 1 1 3 1 3 2 1"},
		{"nq", w124, active, "3 2 1 3 3 3 2 3 3 2 3 3 2 1"},
		{"nq", w201, active, "3 1 1 1 3 1 1 3 1"},
		{"fo", same, active, "3 3 3"},
		{"fo", w312, active, "1 1 1"},
		{"fo", w124, active, "3 3 3"},
		{"fo", w201, active, "1 1 1"},
		{"ovf", same, active, "3 3 2 2 1 1 - -"},
		{"ovf", w312, active, "1 1 1 1 3 3 3 2 2 -"},
		{"ovf", w124, active, "3 3 3 3 3 2 2 2 1 1 -"},
		{"ovf", w201, active, "1 1 1 3 3 -"},

		{"lc", same, inactive, "3 2 1 3 2 1"},
		{"lc", w312, inactive, "3 2 1 3 2 1"},
		{"wlc", same, inactive, "3 2 1 3 2 1"},
		{"wlc", w312, inactive, "3 2 1 1 3 1 3 2 1 1 3 1"},
		{"sed", same, inactive, "3 3 3"},
		{"sed", w312, inactive, "1 1 1"},
		{"nq", same, inactive, "3 3 3"},
		{"nq", w312, inactive, "3 3 3"},
		{"ovf", same, inactive, "3 3 3"},
		{"ovf", w312, inactive, "1 1 1"},
	}
	for _, tt := range tests {
		w := newWorld(t, tt.sched, 0, tt.weights...)
		if got := w.picks(len(tt.want)/2+1, tt.bind); got != tt.want {
			t.Errorf("%s %v picks %s, want %s", tt.sched, tt.weights, got, tt.want)
		}
	}
}

// TestActiveCountsAs256 puts 256 inactive connections against an active one.
func TestActiveCountsAs256(t *testing.T) {
	for name, want := range map[string]string{"lc": "2", "wlc": "2", "sed": "3", "nq": "3"} {
		w := newWorld(t, name, 0, 1, 1, 1)
		bindActive(w.server(1))
		for range 255 {
			bindInactive(w.server(2))
		}
		for range 256 {
			bindInactive(w.server(3))
		}
		if got := w.picks(1, bindNothing); got != want {
			t.Errorf("%s with 1 active, 255 and 256 inactive picks %s, want %s", name, got, want)
		}
	}
}
