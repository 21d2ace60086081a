package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"natlb/internal/control"
	"natlb/ipvs"
)

// checkHairpin is the sharper form of the trap of near clients: the client is a real
// server, asks its own VIP, and by NAT is answered past the director, or by itself.
// What helps without a change on any server is FULLNAT.
func checkHairpin(f *Facts, r *report) {
	f.masqServers(func(d *ipvs.DestinationStatus, c control.Census) {
		if 2*c.NearHalfOpen <= c.Near || !f.isRIP(c.NearClient) {
			return
		}
		r.fault(c.NearClient.String(), fmt.Sprintf("natlb source add ADDRESS, a free one of the servers' network, and: natlb -e SERVICE -r %s --fullnat", d.Addr),
			"is a real server and a client of its own VIP: %s answers it past the director, from an address that it did not ask", d.Addr.Addr())
	})
	if len(r.findings) == 0 && len(f.Servers) > 0 {
		r.ok("", "no real server asks its own VIP in vain")
	}
}

// isRIP reports whether an address is a real server's.
func (f *Facts) isRIP(a netip.Addr) bool {
	return slices.ContainsFunc(f.Servers, func(s Server) bool { return s.RIP == a })
}
