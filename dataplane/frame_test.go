package dataplane

import "testing"

// TestFront: room in front of a frame is used when it is there, and never that of
// bytes which the frame no longer has.
func TestFront(t *testing.T) {
	memory := make([]byte, 100)
	for _, tt := range []struct {
		name    string
		frame   Frame
		over, n int
		want    bool
	}{
		{"all of it", Frame{Head: memory[:32], Data: memory[32:]}, 32, 68, true},
		{"some of it", Frame{Head: memory[:32], Data: memory[32:]}, 20, 40, true},
		{"more than there is", Frame{Head: memory[:32], Data: memory[32:]}, 33, 68, false},
		{"none", Frame{Data: memory[32:]}, 20, 68, false},
		{"a longer packet than the frame", Frame{Head: memory[:32], Data: memory[32:90]}, 20, 59, false},
		{"not told of the frame", Frame{Head: memory[:32:32], Data: memory[32:]}, 20, 68, false},
		{"a frame put elsewhere", Frame{Head: memory[:32], Data: make([]byte, 68)}, 20, 68, false},
		{"a frame without a beginning", Frame{Head: memory[:32], Data: memory[33:]}, 20, 60, false},
		{"an empty frame", Frame{Head: memory[:32], Data: memory[32:32]}, 20, 0, false},
		{"nothing", Frame{}, 0, 0, false},
	} {
		got := tt.frame.front(tt.over, tt.n)
		if !tt.want {
			if got != nil {
				t.Errorf("%s: %d bytes, want nil", tt.name, len(got))
			}
			continue
		}
		if len(got) != tt.over+tt.n || &got[tt.over] != &tt.frame.Data[0] {
			t.Errorf("%s: %d bytes, want %d that go over into the frame", tt.name, len(got), tt.over+tt.n)
		}
	}
}
