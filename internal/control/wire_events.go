package control

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// EventJSON is an event, on the socket and wherever natlb prints JSON. Which names are there depends on the kind.
type EventJSON struct {
	Kind string    `json:"kind"`
	Time time.Time `json:"time"` // of day, RFC 3339 with nanoseconds

	Service *wireService   `json:"service,omitempty"` // protocol and address, or mark
	Server  netip.AddrPort `json:"server,omitzero"`   // as configured; RIP:RPort of a connection

	Protocol string         `json:"protocol,omitempty"`
	Client   netip.AddrPort `json:"client,omitzero"`
	Virtual  netip.AddrPort `json:"virtual,omitzero"`
	Source   netip.AddrPort `json:"source,omitzero"` // by fullnat: what the server sees in the client's place
	State    string         `json:"state,omitempty"`
	Before   string         `json:"state_before,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	From     string         `json:"from,omitempty"` // client or server: whose packet changed the state
	InPkts   *uint32        `json:"in_packets,omitempty"`
	Mark     uint32         `json:"mark,omitempty"`
	Template bool           `json:"template,omitempty"`

	Op           string     `json:"op,omitempty"` // as a change of /v1/apply
	Weight       *int32     `json:"weight,omitempty"`
	WeightBefore *int32     `json:"weight_before,omitempty"`
	Method       string     `json:"method,omitempty"`
	Withheld     bool       `json:"withheld,omitempty"` // of server-unreachable: it takes no new connection
	Name         string     `json:"name,omitempty"`
	Value        string     `json:"value,omitempty"`
	VIP          netip.Addr `json:"vip,omitzero"`
	MAC          string     `json:"mac,omitempty"`
	Link         string     `json:"link,omitempty"`
	Error        string     `json:"error,omitempty"`
	Lost         uint64     `json:"lost,omitempty"`
}

// JSONOfEvent returns what says in JSON what e says.
func JSONOfEvent(e *Event) EventJSON {
	w := EventJSON{
		Kind: e.Kind.String(), Time: e.Time, Server: e.Server, Name: e.Name, Value: e.Value,
		VIP: e.VIP, Link: e.Link, Lost: e.Lost, Withheld: e.Withheld,
	}
	if e.Service != (ipvs.ServiceKey{}) {
		s := wireServiceOf(&ipvs.Service{Key: e.Service})
		w.Service = &s
	}
	if e.Err != nil {
		w.Error = e.Err.Error()
	}
	switch {
	case e.Kind.Connection():
		w.Protocol, w.Client, w.Virtual, w.Source = protocolWord(e.Proto), e.Client, e.Virtual, e.Source
		w.State, w.Before, w.Reason = e.State, e.Before, e.Reason.String()
		w.InPkts, w.Mark, w.Template = &e.Packets, e.Mark, e.Template
		if e.Kind == ipvs.EventState && !e.Template {
			w.From = "client"
			if e.FromServer {
				w.From = "server"
			}
		}
	case e.Kind == ipvs.EventConfig:
		w.Op = e.Change.String()
		if e.Change == ipvs.AddDestination || e.Change == ipvs.EditDestination {
			w.Weight = &e.Weight
		}
	case e.Kind == ipvs.EventServerUp, e.Kind == ipvs.EventServerQuiesced, e.Kind == ipvs.EventServerDown:
		w.Weight, w.WeightBefore = &e.Weight, &e.WeightBefore
	case e.Kind == ipvs.EventServerUnreachable, e.Kind == ipvs.EventServerReachable:
		w.Weight = &e.Weight
	case e.Kind == ipvs.EventLocalServer:
		w.Method = methods.word(e.Method)
	case e.Kind == ipvs.EventVIPConflict:
		w.MAC = net.HardwareAddr(e.MAC[:]).String()
	}
	return w
}

func (w *EventJSON) event() (e Event, err error) {
	e = Event{Time: w.Time, Event: ipvs.Event{
		Server: w.Server, Client: w.Client, Virtual: w.Virtual, Source: w.Source, State: w.State, Before: w.Before,
		FromServer: w.From == "server", Mark: w.Mark, Template: w.Template,
		Name: w.Name, Value: w.Value, VIP: w.VIP, Link: w.Link, Lost: w.Lost, Withheld: w.Withheld,
	}}
	if e.Kind, err = eventKinds.value(w.Kind); err != nil {
		return e, err
	}
	if w.Service != nil {
		s, err := w.Service.service()
		if err != nil {
			return e, err
		}
		e.Service = s.Key
	}
	if w.Error != "" {
		e.Err = errors.New(w.Error)
	}
	if w.InPkts != nil {
		e.Packets = *w.InPkts
	}
	if w.Weight != nil {
		e.Weight = *w.Weight
	}
	if w.WeightBefore != nil {
		e.WeightBefore = *w.WeightBefore
	}
	if w.MAC != "" {
		mac, err := net.ParseMAC(w.MAC)
		if err != nil || len(mac) != len(e.MAC) {
			return e, fmt.Errorf("mac %q: %w", w.MAC, ipvs.ErrInvalid)
		}
		copy(e.MAC[:], mac)
	}
	return e, w.words(&e)
}

// words reads what is a word of some vocabulary, where it is there at all.
func (w *EventJSON) words(e *Event) (err error) {
	if w.Protocol != "" {
		if e.Proto, err = protocolOf(w.Protocol); err != nil {
			return err
		}
	}
	if w.Op != "" {
		if e.Change, err = kinds.value(w.Op); err != nil {
			return err
		}
	}
	if w.Method != "" {
		if e.Method, err = methods.value(w.Method); err != nil {
			return err
		}
	}
	if w.Reason != "" {
		e.Reason, err = reasons.value(w.Reason)
	}
	return err
}
