package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"natlb/internal/sources"
	"natlb/ipvs"
)

// State is all of a director's configuration at one moment, with the live
// numbers of its services.
type State struct {
	Generation uint64 // of the configuration: another one after every transaction
	Timeouts   ipvs.Timeouts
	Sysctls    []Sysctl             // all, in the director's order
	Marks      []string             // rules as natlb mark -S prints them: "-A PREROUTING ...", then those of IPv6: "-6 -A PREROUTING ..."
	Sources    []string             // addresses of FullNAT: single ones and ranges, as a rules file has them
	Services   []ipvs.ServiceStatus // in order of creation, servers newest first
}

// Source is what a state is read from: a part of [Director].
type Source interface {
	Timeouts() ipvs.Timeouts
	Sysctls() []Sysctl
	Marks(words []string) (string, error)
	Sources() []ipvs.SourceStatus
	Services() []ipvs.ServiceStatus
}

// ReadState returns a state without its generation.
func ReadState(d Source) (*State, error) {
	s := &State{Timeouts: d.Timeouts(), Sysctls: d.Sysctls(), Sources: rangesOf(d.Sources()), Services: d.Services()}
	for _, family := range []string{"", "-6 "} {
		text, err := d.Marks(strings.Fields(family + "-S"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "-A ") {
				s.Marks = append(s.Marks, family+line)
			}
		}
	}
	return s, nil
}

// rangesOf returns the addresses that were not deleted as a rules file has them.
func rangesOf(list []ipvs.SourceStatus) []string {
	var addrs []netip.Addr
	for _, s := range list {
		if !s.Deleted {
			addrs = append(addrs, s.Addr)
		}
	}
	return sources.SetOf(addrs).Ranges()
}

// State returns the director's state as it is between two transactions.
func (s *Server) State(context.Context) (*State, error) {
	s.apply.Lock()
	defer s.apply.Unlock()
	state, err := ReadState(s.director)
	if err == nil {
		state.Generation = s.generation
	}
	return state, err
}

// ApplyTo makes changes as one transaction to the state of that generation, as
// [Server.State] gave it; any other refuses it with [ErrChanged].
func (s *Server) ApplyTo(_ context.Context, generation uint64, changes []ipvs.Change) error {
	return s.transact(&transaction{changes: changes, generation: generation})
}

// State returns the director's state as it is between two transactions.
func (c *Client) State(ctx context.Context) (*State, error) {
	var reply stateReply
	if err := c.get(ctx, "/v1/state", &reply); err != nil {
		return nil, err
	}
	services, err := statusOf(reply.Services)
	return &State{reply.Generation, reply.Timeouts, reply.Sysctls, reply.Marks, reply.Sources, services}, err
}

// ApplyTo is [Client.Apply] for the state of that generation, as [Client.State]
// gave it; any other refuses it with [ErrChanged].
func (c *Client) ApplyTo(ctx context.Context, generation uint64, changes []ipvs.Change) error {
	return c.post(ctx, applyRequest{Generation: generation}, changes)
}

// Check asks whether Apply would refuse a transaction, and with which error. It
// changes nothing.
func (c *Client) Check(ctx context.Context, changes []ipvs.Change) error {
	return c.post(ctx, applyRequest{DryRun: true}, changes)
}

func statusOf(wire []ServiceJSON) ([]ipvs.ServiceStatus, error) {
	services := make([]ipvs.ServiceStatus, len(wire))
	for i := range wire {
		s, err := wire[i].status()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		services[i] = s
	}
	return services, nil
}

// JSONOfServices returns what says in JSON what services say, never nil.
func JSONOfServices(services []ipvs.ServiceStatus) []ServiceJSON {
	wire := make([]ServiceJSON, len(services))
	for i := range services {
		wire[i] = JSONOfService(&services[i])
	}
	return wire
}
