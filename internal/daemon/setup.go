package daemon

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"natlb/dataplane"
	"natlb/internal/control"
	"natlb/internal/hostnet"
)

// Setup implements [control.Director].
func (f front) Setup() control.Setup {
	cfg := &f.d.cfg
	s := control.Setup{
		Namespace: networkNamespace(), Guard: string(cfg.Guard), Route: !cfg.NoRoute,
		Methods: []string{"masq", "route", "tunnel", "fullnat"}, FTPPorts: cfg.ftpPorts(), Memory: residentMemory(),
	}
	s.MarkedVIPs = append(s.MarkedVIPs, f.Director.Scope().Marked...)
	s.Capabilities, _ = hostnet.Capabilities() // a thread may always ask about itself
	s.Shards, s.Conns, s.MaxConns = f.Director.Load()

	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	s.Guarding = f.d.guard.installed
	if f.d.guard.works != nil {
		s.GuardFault = f.d.guard.works.Error()
	}
	for i, l := range cfg.links() {
		s.Links = append(s.Links, control.SetupLink{
			Name: l.Name, Sides: sideWords(l.Side), Index: f.d.picture.interfaceOf(uint8(i)),
		})
	}
	return s
}

func sideWords(side dataplane.Side) (words []string) {
	if side&dataplane.VIPSide != 0 {
		words = append(words, "vip")
	}
	if side&dataplane.DIPSide != 0 {
		words = append(words, "dip")
	}
	return words
}

// networkNamespace returns the inode of the director's network namespace, by
// which others can tell whether they look at the same host; 0 when it cannot be
// told.
func networkNamespace() uint64 {
	info, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}

// residentMemory returns the director's resident memory in bytes, 0 when it
// cannot be told.
func residentMemory() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
