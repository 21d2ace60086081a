package ipvsadm

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"natlb/ipvs"
)

// listConns is -L -c: one line per connection entry and template as they
// arrive, never sorted, never held.
func (s *invocation) listConns(ln *line) error {
	names, stop := newNamer(s.ctx, s.lookup, ln.given.has(optNumeric))
	defer stop()
	engines := ln.given.has(optPersistConn)
	var refused error
	err := s.output(func(w io.Writer) {
		begun := false
		begin := func() {
			if !begun {
				connHeader(w, engines)
			}
			begun = true
		}
		refused = s.env.Client.Connections(s.ctx, func(c ipvs.ConnStatus) bool {
			begin()
			return printConn(w, names, &c, engines) == nil
		})
		if refused == nil {
			begin()
		}
	})
	if refused != nil {
		return refusal(refused, statusListing)
	}
	return err
}

func connHeader(w io.Writer, engines bool) {
	fmt.Fprintln(w, "IPVS connection entries")
	fmt.Fprintf(w, "%-3s %-6s %-11s %-18s %-18s ", "pro", "expire", "state", "source", "virtual")
	if engines {
		fmt.Fprintf(w, "%-18s %-16s %s\n", "destination", "pe name", "pe_data")
	} else {
		fmt.Fprintln(w, "destination")
	}
}

func printConn(w io.Writer, names *namer, c *ipvs.ConnStatus, engines bool) error {
	fmt.Fprintf(w, "%-3s %-6s %-11s %-18s %-18s ", c.Proto, expiry(c.Expires), c.State,
		names.endpoint(c.Client, c.Proto), names.endpoint(virtualOf(c), c.Proto))
	dest := names.endpoint(c.Dest, c.Proto)
	var err error
	if engines && c.Data != "" {
		_, err = fmt.Fprintf(w, "%-16s %-18s %s\n", dest, c.Engine, c.Data)
	} else {
		_, err = fmt.Fprintln(w, dest)
	}
	return err
}

// expiry writes MM:SS; minutes do not turn into hours. Deviation: what is
// overdue shows as 00:00.
func expiry(d time.Duration) string {
	s := max(int64(d/time.Second), 0)
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// virtualOf returns what the virtual column shows: for a firewall mark's
// template the mark, written as an address.
func virtualOf(c *ipvs.ConnStatus) netip.AddrPort {
	if c.Proto != ipvs.AnyProtocol || c.Mark == 0 {
		return c.Virtual
	}
	mark := [4]byte{byte(c.Mark >> 24), byte(c.Mark >> 16), byte(c.Mark >> 8), byte(c.Mark)}
	if c.Client.Addr().Is6() {
		var wide [16]byte
		copy(wide[:], mark[:])
		return netip.AddrPortFrom(netip.AddrFrom16(wide), 0)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(mark), 0)
}
