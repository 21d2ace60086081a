package conntrack

import (
	"testing"
	"unsafe"
)

func TestConnSize(t *testing.T) {
	if got := unsafe.Sizeof(Conn{}); got > 80 {
		t.Errorf("Conn is %d bytes, want at most 80", got)
	}
	t.Logf("Conn is %d bytes", unsafe.Sizeof(Conn{}))
}
