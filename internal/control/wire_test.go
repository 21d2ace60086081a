package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"natlb/ipvs"
)

// TestWireRoundTrip: what goes into JSON comes out of it the same.
func TestWireRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		change := drawChange(t)
		var w ChangeJSON
		overJSON(t, JSONOfChange(&change), &w)
		got, err := w.change()
		if diff := cmp.Diff(change, got, byValue); err != nil || diff != "" {
			t.Fatalf("change: %v (-want +got)\n%s", err, diff)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		status := drawStatus(t)
		var w ServiceJSON
		overJSON(t, JSONOfService(&status), &w)
		got, err := w.status()
		if diff := cmp.Diff(status, got, byValue); err != nil || diff != "" {
			t.Fatalf("service: %v (-want +got)\n%s", err, diff)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		event := drawEvent(t)
		var w EventJSON
		overJSON(t, JSONOfEvent(&event), &w)
		got, err := w.event()
		sameText := cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
		if diff := cmp.Diff(event, got, byValue, sameText); err != nil || diff != "" {
			t.Fatalf("event: %v (-want +got)\n%s", err, diff)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		filter := drawFilter(t)
		q, err := url.ParseQuery(filter.query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := filterOf(q)
		if diff := cmp.Diff(filter, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{})); err != nil || diff != "" {
			t.Fatalf("filter: %v (-want +got)\n%s", err, diff)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		conn := drawConn(t)
		var w ConnJSON
		overJSON(t, JSONOfConn(&conn), &w)
		got, err := w.conn()
		if diff := cmp.Diff(conn, got, byValue); err != nil || diff != "" {
			t.Fatalf("connection: %v (-want +got)\n%s", err, diff)
		}
	})
}

func overJSON(t *rapid.T, from, to any) {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("%+v over JSON: %v", from, err)
	}
}

func drawAddrPort(t *rapid.T, label string) netip.AddrPort {
	port := rapid.Uint16().Draw(t, label+" port")
	if rapid.Bool().Draw(t, label+" six") {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), port)
	}
	b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, label)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), port)
}

func drawService(t *rapid.T) ipvs.Service {
	s := ipvs.Service{
		Scheduler:      rapid.SampledFrom([]string{"", "rr", "wlc"}).Draw(t, "scheduler"),
		PersistTimeout: rapid.Uint32().Draw(t, "timeout"),
		Wildcard:       rapid.Uint32().Draw(t, "wildcard"),
		PrefixLen:      rapid.Uint8().Draw(t, "prefix"),
		Engine:         rapid.SampledFrom([]string{"", "sip"}).Draw(t, "engine"),
	}
	for _, f := range flagNames {
		if rapid.Bool().Draw(t, f.word) {
			s.Flags |= f.flag
		}
	}
	if rapid.Bool().Draw(t, "marked") {
		s.Key = ipvs.ServiceKey{Mark: rapid.Uint32Min(1).Draw(t, "mark"), V6: rapid.Bool().Draw(t, "v6")}
	} else {
		s.Key = ipvs.ServiceKey{Proto: drawProto(t), VIP: drawAddrPort(t, "vip")}
	}
	return s
}

func drawProto(t *rapid.T) ipvs.Protocol {
	return rapid.Custom(func(t *rapid.T) ipvs.Protocol { return ipvs.Protocol(rapid.Uint8().Draw(t, "number")) }).Draw(t, "proto")
}

func drawDestination(t *rapid.T) ipvs.Destination {
	d := ipvs.Destination{
		Addr:           drawAddrPort(t, "rip"),
		Method:         ipvs.ForwardMethod(rapid.Uint8Max(5).Draw(t, "method")),
		TOA:            rapid.Bool().Draw(t, "toa"),
		Weight:         rapid.Int32().Draw(t, "weight"),
		UpperThreshold: rapid.Uint32().Draw(t, "upper"),
		LowerThreshold: rapid.Uint32().Draw(t, "lower"),
	}
	if d.Method == ipvs.Tunnel {
		d.Tunnel = ipvs.TunnelOptions{
			Type: ipvs.TunnelType(rapid.Uint8Max(2).Draw(t, "tunnel")), Port: rapid.Uint16().Draw(t, "tunnel port"),
			Checksum: ipvs.TunnelChecksum(rapid.Uint8Max(2).Draw(t, "checksum")),
		}
	}
	return d
}

// drawChange draws what each kind carries and nothing else.
func drawChange(t *rapid.T) ipvs.Change {
	c := ipvs.Change{Kind: ipvs.ChangeKind(rapid.Uint8Range(uint8(ipvs.AddService), uint8(ipvs.ChangeSources)).Draw(t, "kind"))}
	switch c.Kind {
	case ipvs.AddService, ipvs.EditService, ipvs.DeleteService:
		c.Service = drawService(t)
	case ipvs.ZeroStats:
		if rapid.Bool().Draw(t, "one") {
			c.Service = drawService(t)
		}
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination, ipvs.BreakPersistence:
		c.Service, c.Destination = drawService(t), drawDestination(t)
	case ipvs.SetTimeouts:
		c.Timeouts = ipvs.Timeouts{TCP: rapid.Uint32().Draw(t, "tcp"), TCPFin: rapid.Uint32().Draw(t, "fin"), UDP: rapid.Uint32().Draw(t, "udp")}
	case ipvs.SetSysctl:
		c.Name, c.Value = rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value")
	case ipvs.ChangeMarks, ipvs.ChangeSources:
		c.Words = rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "words")
	case ipvs.OrderDestinations:
		c.Service = drawService(t)
		for range rapid.IntRange(1, 3).Draw(t, "servers") {
			c.Order = append(c.Order, drawAddrPort(t, "rip"))
		}
	}
	return c
}

func drawStats(t *rapid.T) ipvs.Stats {
	n := rapid.SliceOfN(rapid.Uint64(), 5, 5).Draw(t, "stats")
	return ipvs.Stats{Conns: n[0], InPkts: n[1], OutPkts: n[2], InBytes: n[3], OutBytes: n[4]}
}

func drawRates(t *rapid.T) ipvs.Rates {
	n := rapid.SliceOfN(rapid.Uint64(), 5, 5).Draw(t, "rates")
	return ipvs.Rates{CPS: n[0], InPPS: n[1], OutPPS: n[2], InBPS: n[3], OutBPS: n[4]}
}

func drawStatus(t *rapid.T) ipvs.ServiceStatus {
	s := ipvs.ServiceStatus{Service: drawService(t), Stats: drawStats(t), Rates: drawRates(t)}
	for range rapid.IntRange(0, 3).Draw(t, "servers") {
		s.Destinations = append(s.Destinations, ipvs.DestinationStatus{
			Destination: drawDestination(t),
			Active:      rapid.Int32().Draw(t, "active"), Inactive: rapid.Int32().Draw(t, "inactive"),
			PersistConns: rapid.Int32().Draw(t, "templates"), Overloaded: rapid.Bool().Draw(t, "overloaded"),
			Reach: ipvs.Reach{
				Unreachable: rapid.Bool().Draw(t, "unreachable"), For: time.Duration(rapid.Int32Min(0).Draw(t, "for")) * time.Second,
				Withheld: rapid.Bool().Draw(t, "withheld"), Lost: rapid.Uint64().Draw(t, "lost"),
			},
			Stats: drawStats(t), Rates: drawRates(t),
		})
	}
	return s
}

func drawConn(t *rapid.T) ipvs.ConnStatus {
	return ipvs.ConnStatus{
		Proto: drawProto(t), State: rapid.SampledFrom([]string{"SYN_RECV", "UDP"}).Draw(t, "state"),
		Expires: time.Duration(rapid.Int64Range(0, int64(ipvs.MaxTimeout)*1e6).Draw(t, "expires")) * time.Microsecond,
		Client:  drawAddrPort(t, "cip"), Virtual: drawAddrPort(t, "vip"), Dest: drawAddrPort(t, "rip"), Source: drawAddrPort(t, "source"),
		Mark: rapid.Uint32().Draw(t, "mark"), Template: rapid.Bool().Draw(t, "template"),
		Engine: rapid.String().Draw(t, "engine"), Data: rapid.String().Draw(t, "data"),
		Service: drawService(t).Key, InPkts: rapid.Uint32().Draw(t, "packets"),
	}
}

// drawEvent draws what each kind carries and nothing else.
func drawEvent(t *rapid.T) Event {
	e := Event{Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()}
	e.Kind = rapid.SampledFrom(ipvs.EventKinds()).Draw(t, "kind")
	if e.Kind == ipvs.EventGap {
		e.Lost = rapid.Uint64().Draw(t, "lost")
		return e
	}
	e.Service, e.Server = drawService(t).Key, drawAddrPort(t, "server")
	switch {
	case e.Kind.Connection():
		e.Proto, e.Client, e.Virtual, e.Source = drawProto(t), drawAddrPort(t, "cip"), drawAddrPort(t, "vip"), drawAddrPort(t, "source")
		e.State, e.Before = rapid.SampledFrom([]string{"SYN_RECV", "NONE"}).Draw(t, "state"), rapid.SampledFrom([]string{"", "UDP"}).Draw(t, "before")
		e.Reason = rapid.SampledFrom(append(ipvs.Reasons(), ipvs.NoReason)).Draw(t, "reason")
		e.Packets, e.Mark, e.Template = rapid.Uint32().Draw(t, "packets"), rapid.Uint32().Draw(t, "mark"), rapid.Bool().Draw(t, "template")
		e.FromServer = e.Kind == ipvs.EventState && !e.Template && rapid.Bool().Draw(t, "from")
	case e.Kind == ipvs.EventConfig:
		e.Change = ipvs.ChangeKind(rapid.Uint8Range(uint8(ipvs.AddService), uint8(ipvs.BreakPersistence)).Draw(t, "change"))
		e.Name, e.Value = rapid.String().Draw(t, "name"), rapid.String().Draw(t, "value")
		if e.Change == ipvs.EditDestination {
			e.Weight = rapid.Int32().Draw(t, "weight")
		}
	case e.Kind == ipvs.EventServerUp:
		e.Weight, e.WeightBefore = rapid.Int32().Draw(t, "weight"), rapid.Int32().Draw(t, "before")
	case e.Kind == ipvs.EventServerUnreachable:
		e.Weight, e.Withheld = rapid.Int32().Draw(t, "weight"), rapid.Bool().Draw(t, "withheld")
	case e.Kind == ipvs.EventServerReachable:
		e.Weight = rapid.Int32().Draw(t, "weight")
	case e.Kind == ipvs.EventLocalServer:
		e.Method = ipvs.ForwardMethod(rapid.Uint8Max(5).Draw(t, "method"))
	case e.Kind == ipvs.EventVIPConflict:
		e.VIP, e.Link = drawAddrPort(t, "vip").Addr(), "eth0"
		copy(e.MAC[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "mac"))
	case e.Kind == ipvs.EventLink:
		e.Link, e.Err = "eth0", errors.New("gone")
	}
	return e
}

// drawFilter draws any filter that a request can have.
func drawFilter(t *rapid.T) (f Filter) {
	if rapid.Bool().Draw(t, "by service") {
		f.Service = drawService(t).Key
	}
	if rapid.Bool().Draw(t, "by server") {
		f.Server = drawAddrPort(t, "server")
	}
	if rapid.Bool().Draw(t, "by client") {
		addr := drawAddrPort(t, "client").Addr()
		f.Client, _ = addr.Prefix(rapid.IntRange(0, addr.BitLen()).Draw(t, "bits"))
	}
	f.State = rapid.SampledFrom([]string{"", "time_wait", "a&b=c"}).Draw(t, "state")
	f.Kinds = rapid.SliceOfN(rapid.SampledFrom(ipvs.EventKinds()), 0, 3).Draw(t, "kinds")
	f.Limit = rapid.IntRange(0, 1<<40).Draw(t, "limit")
	return f
}

func TestWireDefaults(t *testing.T) {
	var w ChangeJSON
	text := `{"op":"add-server","service":{"protocol":"tcp","address":"192.0.2.1:80"},"destination":{"address":"10.0.0.2:80","weight":2}}`
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	got, err := w.change()
	want := ipvs.Change{
		Kind:        ipvs.AddDestination,
		Service:     ipvs.Service{Key: webService.Key},
		Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.2:80"), Method: ipvs.Route, Weight: 2},
	}
	if diff := cmp.Diff(want, got, byValue); err != nil || diff != "" {
		t.Errorf("change: %v (-want +got)\n%s", err, diff)
	}
}

func TestWireRefusesUnknownWords(t *testing.T) {
	for _, text := range []string{
		`{"op":"explode"}`, `{"op":""}`,
		`{"op":"add-service","service":{"protocol":"icmp"}}`,
		`{"op":"add-service","service":{"protocol":"256"}}`,
		`{"op":"add-service","service":{"flags":["hashed"]}}`,
		`{"op":"add-service","service":{"netmask":"::1"}}`,
		`{"op":"add-server","destination":{"method":"magic"}}`,
		`{"op":"add-server","destination":{"tunnel_type":"vxlan"}}`,
		`{"op":"add-server","destination":{"tunnel_checksum":"md5"}}`,
	} {
		var w ChangeJSON
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if c, err := w.change(); !errors.Is(err, ipvs.ErrInvalid) {
			t.Errorf("%s = %+v, %v, want %v", text, c, err, ipvs.ErrInvalid)
		}
	}
}
