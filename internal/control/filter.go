package control

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"natlb/ipvs"
)

// Filter chooses connections and events. The director applies it, so that what
// nobody wants does not travel. The zero value chooses everything.
type Filter struct {
	Service ipvs.ServiceKey  // zero: any
	Server  netip.AddrPort   // port 0: any; the zero value: any server
	Client  netip.Prefix     // zero: any
	State   string           // as listings name it, in any case; "": any
	Kinds   []ipvs.EventKind // of events; none: all
	Limit   int              // of connections; 0: all
}

// query is the filter as a request has it:
//
//	?service=tcp/192.0.2.1:80&server=10.0.0.2:8080&client=198.51.100.0/24&state=ESTABLISHED&kind=born&kind=died&limit=100
func (f *Filter) query() url.Values {
	q := url.Values{}
	if f.Service != (ipvs.ServiceKey{}) {
		q.Set("service", serviceText(f.Service))
	}
	if f.Server.IsValid() {
		q.Set("server", f.Server.String())
	}
	if f.Client.IsValid() {
		q.Set("client", f.Client.String())
	}
	if f.State != "" {
		q.Set("state", f.State)
	}
	for _, k := range f.Kinds {
		q.Add("kind", k.String())
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// filterOf reads a filter from a request. What it does not know it refuses: a
// filter that chooses too much misleads.
func filterOf(q url.Values) (f Filter, err error) {
	for name, values := range q {
		for _, v := range values {
			switch name {
			case "service":
				f.Service, err = serviceOf(v)
			case "server":
				f.Server, err = serverOf(v)
			case "client":
				f.Client, err = ParsePrefix(v)
			case "state":
				f.State = v
			case "kind":
				var kinds []ipvs.EventKind
				kinds, err = ParseKinds(v)
				f.Kinds = append(f.Kinds, kinds...)
			case "limit":
				if f.Limit, err = strconv.Atoi(v); err == nil && f.Limit < 0 {
					err = fmt.Errorf("limit %d", f.Limit)
				}
			case "by": // of the request that counts
			default:
				err = fmt.Errorf("unknown filter %q", name)
			}
			if err != nil {
				return f, fmt.Errorf("%w: %w", ipvs.ErrInvalid, err)
			}
		}
	}
	return f, nil
}

// serviceText and serviceOf write a service as tcp/192.0.2.1:80, or as fwm/5 or
// fwm6/5 for a firewall mark.
func serviceText(k ipvs.ServiceKey) string {
	switch {
	case !k.IsMark():
		return protocolWord(k.Proto) + "/" + k.VIP.String()
	case k.V6:
		return fmt.Sprintf("fwm6/%d", k.Mark)
	}
	return fmt.Sprintf("fwm/%d", k.Mark)
}

func serviceOf(text string) (k ipvs.ServiceKey, err error) {
	word, rest, _ := strings.Cut(text, "/")
	if word == "fwm" || word == "fwm6" {
		mark, err := strconv.ParseUint(rest, 10, 32)
		if err != nil || mark == 0 {
			return k, fmt.Errorf("service %q: a firewall mark is a number from 1", text)
		}
		return ipvs.ServiceKey{Mark: uint32(mark), V6: word == "fwm6"}, nil
	}
	if k.Proto, err = protocolOf(word); err != nil {
		return k, fmt.Errorf("service %q: want tcp/ADDRESS:PORT, udp/ADDRESS:PORT or fwm/MARK", text)
	}
	k.VIP, err = netip.ParseAddrPort(rest)
	return k, err
}

// serverOf reads RIP or RIP:RPort.
func serverOf(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 0), nil
	}
	return netip.ParseAddrPort(text)
}

// ParsePrefix reads an address, or a network as 198.51.100.0/24.
func ParsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// kindClasses are words for several kinds of events.
var kindClasses = map[string]func(ipvs.EventKind) bool{
	"conn":   ipvs.EventKind.Connection,
	"server": func(k ipvs.EventKind) bool { return strings.HasPrefix(k.String(), "server-") },
}

// ParseKinds reads the word of a kind of events, or of several: conn, server.
func ParseKinds(word string) (kinds []ipvs.EventKind, err error) {
	class := kindClasses[word]
	var known []string
	for _, k := range ipvs.EventKinds() {
		if k.String() == word || class != nil && class(k) {
			kinds = append(kinds, k)
		}
		known = append(known, k.String())
	}
	if kinds == nil {
		return nil, fmt.Errorf("there is no kind of events %q (there are %s, and conn and server for all of theirs)",
			word, strings.Join(known, ", "))
	}
	return kinds, nil
}

// conn reports whether the filter chooses a connection or template.
func (f *Filter) conn(c *ipvs.ConnStatus) bool {
	return f.service(c.Service) && f.server(c.Dest) && f.client(c.Client) && f.state(c.State)
}

// event reports whether the filter chooses an event. A gap is for everybody.
func (f *Filter) event(e *ipvs.Event) bool {
	if e.Kind == ipvs.EventGap {
		return true
	}
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, e.Kind)) &&
		f.service(e.Service) && f.server(e.Server) && f.client(e.Client) && (f.state(e.State) || f.state(e.Before))
}

func (f *Filter) service(k ipvs.ServiceKey) bool {
	return f.Service == (ipvs.ServiceKey{}) || f.Service == k
}

func (f *Filter) server(s netip.AddrPort) bool {
	return !f.Server.IsValid() || f.Server.Addr() == s.Addr() && (f.Server.Port() == 0 || f.Server.Port() == s.Port())
}

func (f *Filter) client(c netip.AddrPort) bool {
	return !f.Client.IsValid() || f.Client.Contains(c.Addr())
}

func (f *Filter) state(s string) bool { return f.State == "" || strings.EqualFold(f.State, s) }
