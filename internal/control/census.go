package control

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"natlb/ipvs"
)

// Census counts the connections of one real server: what a listing of all of
// them would tell, without the listing. Templates are not counted.
type Census struct {
	Proto        ipvs.Protocol
	Server       netip.AddrPort
	Conns        int
	HalfOpen     int        // TCP connections whose handshake is not finished
	Near         int        // connections of clients in the networks that were asked about
	NearHalfOpen int        // and those of them with an unfinished handshake
	NearClient   netip.Addr // one of these clients, of a half-open connection where there is one
}

type wireCensus struct {
	Protocol     string         `json:"protocol"`
	Server       netip.AddrPort `json:"server"`
	Conns        int            `json:"conns"`
	HalfOpen     int            `json:"half_open"`
	Near         int            `json:"near,omitempty"`
	NearHalfOpen int            `json:"near_half_open,omitempty"`
	NearClient   netip.Addr     `json:"near_client,omitzero"`
}

type censusReply struct {
	header
	Servers []wireCensus `json:"servers"`
}

// MaxNear is the greatest number of networks that one census asks about.
const MaxNear = 256

func (s *Server) serveCensus(w http.ResponseWriter, r *http.Request) {
	words := r.URL.Query()["near"]
	if len(words) > MaxNear {
		s.refuse(w, requestError{fmt.Errorf("%d networks, at most %d", len(words), MaxNear)})
		return
	}
	var near []netip.Prefix
	for _, word := range words {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			s.refuse(w, requestError{err})
			return
		}
		near = append(near, p)
	}
	reply := censusReply{s.header(), []wireCensus{}}
	for _, c := range takeCensus(s.director, near) {
		reply.Servers = append(reply.Servers, wireCensus{
			protocolWord(c.Proto), c.Server, c.Conns, c.HalfOpen, c.Near, c.NearHalfOpen, c.NearClient,
		})
	}
	s.reply(w, http.StatusOK, reply)
}

// takeCensus goes through all connections of d once. The result is sorted by
// server.
func takeCensus(d Director, near []netip.Prefix) []Census {
	type key struct {
		proto  ipvs.Protocol
		server netip.AddrPort
	}
	counts := map[key]*Census{}
	d.Connections(func(c ipvs.ConnStatus) bool {
		if c.Template {
			return true
		}
		k := key{c.Proto, c.Dest}
		n := counts[k]
		if n == nil {
			n = &Census{Proto: c.Proto, Server: c.Dest}
			counts[k] = n
		}
		n.count(&c, near)
		return true
	})
	all := make([]Census, 0, len(counts))
	for _, n := range counts {
		all = append(all, *n)
	}
	slices.SortFunc(all, func(a, b Census) int {
		return cmp.Or(a.Server.Compare(b.Server), cmp.Compare(a.Proto, b.Proto))
	})
	return all
}

func (n *Census) count(c *ipvs.ConnStatus, near []netip.Prefix) {
	half := halfOpen(c.State)
	client := c.Client.Addr()
	isNear := slices.ContainsFunc(near, func(p netip.Prefix) bool { return p.Contains(client) })
	n.Conns++
	if half {
		n.HalfOpen++
	}
	if !isNear {
		return
	}
	if n.Near == 0 || half && n.NearHalfOpen == 0 {
		n.NearClient = client
	}
	n.Near++
	if half {
		n.NearHalfOpen++
	}
}

// halfOpen reports whether a TCP state of that name comes before the end of the
// handshake.
func halfOpen(state string) bool {
	return state == "SYN_RECV" || state == "SYN_SENT" || state == "SYNACK"
}
