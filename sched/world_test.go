package sched

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"natlb/ipvs"
)

// world is a virtual service as a director keeps it: the list, newest first,
// and the scheduler that is told of every change.
type world struct {
	Scheduler
	servers []*ipvs.RealServer
	ids     uint32
}

// newWorld makes a service with servers r1, r2, ... of the given weights, added
// in this order to an empty service.
func newWorld(t testing.TB, name string, flags ipvs.ServiceFlags, weights ...int32) *world {
	t.Helper()
	s, err := New(name, flags, nil)
	if err != nil {
		t.Fatalf("New(%q) = %v, want no error", name, err)
	}
	w := &world{Scheduler: s}
	w.Update(nil, Init, nil)
	for _, weight := range weights {
		w.add(weight)
	}
	return w
}

// add adds the next server, 10.0.0.N:80.
func (w *world) add(weight int32) *ipvs.RealServer {
	w.ids++
	s := ipvs.NewRealServer(w.ids, &ipvs.Destination{Addr: serverAddr(w.ids), Weight: weight})
	w.enter(s)
	return s
}

// enter puts a server at the head of the list.
func (w *world) enter(s *ipvs.RealServer) {
	upper, lower := s.Thresholds()
	s.Restore(&ipvs.Destination{Addr: s.Addr, Weight: s.Weight(), UpperThreshold: upper, LowerThreshold: lower})
	w.servers = append([]*ipvs.RealServer{s}, w.servers...)
	w.Update(w.servers, Add, s)
}

// edit gives a server a new weight.
func (w *world) edit(s *ipvs.RealServer, weight int32) {
	upper, lower := s.Thresholds()
	s.Configure(&ipvs.Destination{Addr: s.Addr, Weight: weight, UpperThreshold: upper, LowerThreshold: lower})
	w.Update(w.servers, Edit, s)
}

// remove deletes a server.
func (w *world) remove(s *ipvs.RealServer) {
	s.Discard()
	w.servers = slices.DeleteFunc(slices.Clone(w.servers), func(o *ipvs.RealServer) bool { return o == s })
	w.Update(w.servers, Delete, s)
}

// server returns rN.
func (w *world) server(n uint32) *ipvs.RealServer {
	for _, s := range w.servers {
		if s.ID == n {
			return s
		}
	}
	return nil
}

// picks schedules n connections of one flow and returns what was picked, as
// "3 2 1"; after each pick bind is called with the server.
func (w *world) picks(n int, bind func(*ipvs.RealServer)) string {
	f := &Flow{CIP: netip.MustParseAddr("192.0.2.1"), VIP: netip.MustParseAddr("198.51.100.10"), CPort: 40000, VPort: 80, Proto: ipvs.TCP}
	got := make([]string, n)
	for i := range got {
		s := w.Schedule(f, time.Second)
		if s != nil {
			bind(s)
		}
		got[i] = shown(s)
	}
	return strings.Join(got, " ")
}

func serverAddr(n uint32) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80)
}

func shown(s *ipvs.RealServer) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprint(s.ID)
}

func bindNothing(*ipvs.RealServer) {}

func bindInactive(s *ipvs.RealServer) { s.BindInactive() }

func bindActive(s *ipvs.RealServer) {
	s.BindInactive()
	s.Activate()
}

// overload makes a server overloaded, at the price of one inactive connection.
func overload(s *ipvs.RealServer) {
	s.Configure(&ipvs.Destination{Addr: s.Addr, Weight: s.Weight(), UpperThreshold: 1})
	s.BindInactive()
}

// repeat returns the first n words of the sequence.
func repeat(sequence string, n int) string {
	words := strings.Fields(sequence)
	out := make([]string, n)
	for i := range out {
		out[i] = words[i%len(words)]
	}
	return strings.Join(out, " ")
}
