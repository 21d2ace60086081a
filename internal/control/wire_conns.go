package control

import (
	"net/netip"
	"time"

	"natlb/ipvs"
)

// ConnJSON is a connection entry or a persistence template, on the socket and
// wherever natlb prints JSON.
type ConnJSON struct {
	Protocol string         `json:"protocol"` // tcp, udp, sctp, any or a number
	State    string         `json:"state"`
	Expires  float64        `json:"expires_seconds"`
	Client   netip.AddrPort `json:"client"`
	Virtual  netip.AddrPort `json:"virtual"`
	Dest     netip.AddrPort `json:"dest"`
	Source   netip.AddrPort `json:"source,omitzero"`   // by fullnat: what the server sees in the client's place
	Service  *wireService   `json:"service,omitempty"` // that it was scheduled by: protocol and address, or mark
	InPkts   uint32         `json:"in_packets"`        // of the client
	Mark     uint32         `json:"mark,omitempty"`
	Template bool           `json:"template,omitempty"`
	Engine   string         `json:"engine,omitempty"`
	Data     string         `json:"data,omitempty"`
}

// streamEnd is the last line of a stream: without it the stream was cut short.
type streamEnd struct {
	End   bool `json:"end"`
	Count int  `json:"count"`
}

// streamLine is how a reader takes a line of a stream that may be its last.
type streamLine struct {
	ConnJSON
	streamEnd
}

// JSONOfConn returns what says in JSON what c says.
func JSONOfConn(c *ipvs.ConnStatus) ConnJSON {
	w := ConnJSON{
		Protocol: protocolWord(c.Proto), State: c.State, Expires: c.Expires.Seconds(),
		Client: c.Client, Virtual: c.Virtual, Dest: c.Dest, Source: c.Source, InPkts: c.InPkts,
		Mark: c.Mark, Template: c.Template, Engine: c.Engine, Data: c.Data,
	}
	if c.Service != (ipvs.ServiceKey{}) {
		s := wireServiceOf(&ipvs.Service{Key: c.Service})
		w.Service = &s
	}
	return w
}

func (w *ConnJSON) conn() (ipvs.ConnStatus, error) {
	proto, err := protocolOf(w.Protocol)
	var service ipvs.Service
	if w.Service != nil && err == nil {
		service, err = w.Service.service()
	}
	return ipvs.ConnStatus{
		Proto: proto, State: w.State, Expires: seconds(w.Expires),
		Client: w.Client, Virtual: w.Virtual, Dest: w.Dest, Source: w.Source, Service: service.Key, InPkts: w.InPkts,
		Mark: w.Mark, Template: w.Template, Engine: w.Engine, Data: w.Data,
	}, err
}

// seconds rounds to microseconds: finer digits are the float's own noise.
func seconds(s float64) time.Duration {
	return (time.Duration(s*1e6+0.5) * time.Microsecond)
}
