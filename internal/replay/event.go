package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"natlb/internal/control"
	"natlb/ipvs"
)

// event is an event in JSON: as the control socket has it, its time that of the
// captures.
type event struct {
	Schema int `json:"schema"`
	control.EventJSON
	At  time.Duration `json:"at_ns"`         // since the first packet
	Why string        `json:"why,omitempty"` // of a birth
}

// eventLog writes events as they happen, a line each. A fault of out shows when
// it is flushed.
type eventLog struct {
	out  io.Writer
	json bool
}

func (l *eventLog) write(e *ipvs.Event, c *Conn, at time.Time) {
	if !l.json {
		fmt.Fprintln(l.out, eventText(e, c))
		return
	}
	out := event{Schema, control.JSONOfEvent(&control.Event{Event: *e, Time: at}), e.At - epoch, ""}
	if c != nil && e.Kind == ipvs.EventBorn {
		out.Why = c.Why.String()
	}
	json.NewEncoder(l.out).Encode(out)
}

// eventText returns the event as a line.
func eventText(e *ipvs.Event, c *Conn) string {
	head := fmt.Sprintf("%s %-5s ", seconds(e.At-epoch), e.Kind)
	switch {
	case e.Kind == ipvs.EventGap:
		return head + fmt.Sprintf("%d events were lost: there were more than could be told", e.Lost)
	case e.Kind == ipvs.EventVIPConflict:
		return head + fmt.Sprintf("%v is claimed by another machine", e.VIP)
	case !e.Kind.Connection():
		return head + fmt.Sprintf("%v server %v", e.Service, e.Server)
	}
	kind := e.Proto.String()
	if e.Template {
		kind += " template"
	}
	line := head + fmt.Sprintf("%s %v > %v > %v ", kind, e.Client, e.Virtual, e.Server)
	switch e.Kind {
	case ipvs.EventState:
		line += fmt.Sprintf("%s > %s, %s%v", e.Before, e.State, whose(e), e.Reason)
	case ipvs.EventDied:
		line += fmt.Sprintf("%s, %v", e.State, e.Reason)
	default:
		if line += e.State; c != nil && c.Why != ipvs.NotPicked {
			line += ", " + c.Why.String()
		}
	}
	return line
}

// whose says whose packet has changed a state.
func whose(e *ipvs.Event) string {
	switch {
	case e.Template || e.Reason == ipvs.Awaited:
		return ""
	case e.FromServer:
		return "server's "
	}
	return "client's "
}
