package replay

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"natlb/ipvs"
)

// StillOpen is the end of a connection that the capture does not show.
const StillOpen = "open"

// Conn is the life of one connection, or of a persistence template, as far as
// the capture shows it. Times count from the first packet.
type Conn struct {
	Service  ipvs.ServiceKey
	Proto    ipvs.Protocol
	Client   netip.AddrPort // port 0 for a template
	Virtual  netip.AddrPort
	Dest     netip.AddrPort // RIP:RPort
	Mark     uint32
	Template bool

	Why   ipvs.Why // NotPicked for a template
	State string   // the last one
	Ended string   // the reason, or StillOpen
	Start time.Duration
	End   time.Duration // 0 with StillOpen

	// What was sent on of it, in IP packets and bytes of them; in is from the
	// client. A template has none of its own.
	InPackets, OutPackets, InBytes, OutBytes uint64

	number uint64 // in order of birth
	older  *Conn  // of the same client and virtual endpoint, not ended yet
}

// String returns the connection as "TCP CIP:port > VIP:port > RIP:port".
func (c *Conn) String() string {
	return fmt.Sprintf("%v %v > %v > %v", c.Proto, c.Client, c.Virtual, c.Dest)
}

// MarshalJSON writes the connection as the control socket does, and its life with
// it.
func (c *Conn) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Service  string         `json:"service"`
		Protocol string         `json:"protocol"`
		Client   netip.AddrPort `json:"client"`
		Virtual  netip.AddrPort `json:"virtual"`
		Dest     netip.AddrPort `json:"dest"`
		Mark     uint32         `json:"mark,omitempty"`
		Template bool           `json:"template,omitempty"`
		Why      string         `json:"why,omitempty"`
		State    string         `json:"state"`
		Ended    string         `json:"ended"`
		Start    time.Duration  `json:"start_ns"`
		End      time.Duration  `json:"end_ns,omitempty"`
		InPkts   uint64         `json:"in_packets"`
		OutPkts  uint64         `json:"out_packets"`
		InBytes  uint64         `json:"in_bytes"`
		OutBytes uint64         `json:"out_bytes"`
	}{
		c.Service.String(), protocolWord(c.Proto), c.Client, c.Virtual, c.Dest, c.Mark, c.Template,
		c.Why.String(), c.State, c.Ended, c.Start, c.End, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes,
	})
}

func protocolWord(p ipvs.Protocol) string {
	if p == ipvs.AnyProtocol {
		return "any"
	}
	return strings.ToLower(p.String())
}
