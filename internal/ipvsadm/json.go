package ipvsadm

import (
	"encoding/json"
	"fmt"
	"io"

	"natlb/internal/control"
	"natlb/ipvs"
)

// Schema is the number at the head of all JSON that natlb prints: it changes when
// old readers would misread. docs/json.md says what there is.
const Schema = 1

// The listings as JSON. Numbers are exact, whatever --exact says, and there are
// no names instead of addresses; the options that choose columns choose nothing.
type (
	servicesJSON struct {
		Schema    int                   `json:"schema"`
		TableSize int                   `json:"table_size"`
		Services  []control.ServiceJSON `json:"services"`
	}
	timeoutsJSON struct {
		Schema   int           `json:"schema"`
		Timeouts ipvs.Timeouts `json:"timeouts"`
	}
	daemonsJSON struct {
		Schema  int        `json:"schema"`
		Daemons []struct{} `json:"daemons"` // none, as long as there is no synchronization
	}
)

// listJSON is -L --json but for -c. It fails as the listing in text does.
func (s *invocation) listJSON(ln *line) error {
	size, err := s.env.Client.TableSize(s.ctx)
	if err != nil {
		return refusal(err, statusListing)
	}
	var out any
	switch {
	case ln.given.has(optTimeout):
		t, err := s.env.Client.Timeouts(s.ctx)
		if err != nil {
			return refusal(err, statusListing)
		}
		out = timeoutsJSON{Schema, t}
	case ln.given.has(optDaemon):
		out = daemonsJSON{Schema, []struct{}{}}
	default:
		services, err := s.listed(ln)
		if err != nil {
			return err
		}
		out = servicesJSON{Schema, size, control.JSONOfServices(services)}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return &fault{text: err.Error(), status: statusListing}
	}
	return s.output(func(w io.Writer) { w.Write(append(text, '\n')) })
}

// listConnsJSON is -L -c --json: one object that is written as the connections
// arrive, a line for each. A listing that is cut short is no JSON.
func (s *invocation) listConnsJSON() error {
	var refused error
	err := s.output(func(w io.Writer) {
		before := fmt.Sprintf("{\"schema\":%d,\"connections\":[\n", Schema)
		refused = s.env.Client.Connections(s.ctx, func(c ipvs.ConnStatus) bool {
			text, err := json.Marshal(control.JSONOfConn(&c))
			if err == nil {
				_, err = w.Write(append([]byte(before), text...))
			}
			before = ",\n"
			return err == nil
		})
		switch {
		case refused != nil:
		case before == ",\n":
			io.WriteString(w, "\n]}\n")
		default:
			io.WriteString(w, before+"]}\n")
		}
	})
	if refused != nil {
		return refusal(refused, statusListing)
	}
	return err
}
