package conntrack

import (
	"testing"
	"unsafe"
)

func TestConnSize(t *testing.T) {
	if got := unsafe.Sizeof(Conn4{}); got > 80 {
		t.Errorf("Conn4 is %d bytes, want at most 80", got)
	}
	t.Logf("Conn4 is %d bytes", unsafe.Sizeof(Conn4{}))
}
