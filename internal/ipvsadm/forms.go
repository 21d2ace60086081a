package ipvsadm

import (
	"fmt"
	"io"

	"natlb/ipvs"
)

// form is one layout of the table.
type form struct {
	asked   opt
	header  string // above the services
	servers string // above the servers
	service func(t *table, w io.Writer, s *ipvs.ServiceStatus)
	server  func(t *table, w io.Writer, d *ipvs.DestinationStatus) // what follows the name
}

// forms are in order of precedence; the plain one follows from nothing asked.
// Trailing blanks are ipvsadm's.
var forms = []form{
	{optStats, header(" %8s", "Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"), "  -> RemoteAddress:Port", statsOfService, statsOfServer},
	{optRate, header(" %8s", "CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"), "  -> RemoteAddress:Port", ratesOfService, ratesOfServer},
	{optThresholds, header(" %-10s", "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"), "  -> RemoteAddress:Port", (*table).describe, thresholdsOfServer},
	{optPersistConn, header(" %-9s", "Weight") + fmt.Sprintf(" %-11s %-10s %-10s", "PersistConn", "ActiveConn", "InActConn"), "  -> RemoteAddress:Port", (*table).describe, persistenceOfServer},
	{optTunInfo, "Prot LocalAddress:Port Scheduler Flags", "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn", (*table).describe, tunnelOfServer},
	{optCount, "Prot LocalAddress:Port Scheduler Flags", "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn", (*table).describe, plainServer},
}

func header(format string, columns ...string) string {
	h := fmt.Sprintf("%-*s", serviceWidth, "Prot LocalAddress:Port")
	for _, c := range columns {
		h += fmt.Sprintf(format, c)
	}
	return h
}

func formOf(given optSet) *form {
	for i := range forms {
		if given.has(forms[i].asked) {
			return &forms[i]
		}
	}
	return &forms[len(forms)-1]
}

func plainServer(_ *table, w io.Writer, d *ipvs.DestinationStatus) {
	fmt.Fprintf(w, " %-7s %-6d %-10d %-10d", d.Method, d.Weight, d.Active, d.Inactive)
}

func thresholdsOfServer(_ *table, w io.Writer, d *ipvs.DestinationStatus) {
	fmt.Fprintf(w, " %-10d %-10d %-10d %-10d", d.UpperThreshold, d.LowerThreshold, d.Active, d.Inactive)
}

func persistenceOfServer(_ *table, w io.Writer, d *ipvs.DestinationStatus) {
	fmt.Fprintf(w, " %-9d %-11d %-10d %-10d", d.Weight, d.PersistConns, d.Active, d.Inactive)
}

func tunnelOfServer(_ *table, w io.Writer, d *ipvs.DestinationStatus) {
	fmt.Fprintf(w, " %-7s %-13s %-6d %-10d %-10d", d.Method, tunnelInfo(&d.Destination), d.Weight, d.Active, d.Inactive)
}

func tunnelInfo(d *ipvs.Destination) string {
	if d.Method != ipvs.Tunnel {
		return "n/a"
	}
	sums := map[ipvs.TunnelChecksum]string{
		ipvs.TunnelNoChecksum: "-c", ipvs.TunnelChecksummed: "+c", ipvs.TunnelRemoteChecksum: "r+c",
	}
	switch d.Tunnel.Type {
	case ipvs.TunnelGUE:
		return fmt.Sprintf("gue:%d:%s", d.Tunnel.Port, sums[d.Tunnel.Checksum])
	case ipvs.TunnelGRE:
		return "gre:" + sums[d.Tunnel.Checksum]
	}
	return "ipip"
}

func statsOfService(t *table, w io.Writer, s *ipvs.ServiceStatus) {
	fmt.Fprintf(w, "%-*s", serviceWidth, t.serviceName(s.Key))
	t.stats(w, &s.Stats)
	fmt.Fprintln(w)
}

func statsOfServer(t *table, w io.Writer, d *ipvs.DestinationStatus) { t.stats(w, &d.Stats) }

func (t *table) stats(w io.Writer, s *ipvs.Stats) {
	for _, n := range [...]uint64{s.Conns, s.InPkts, s.OutPkts, s.InBytes, s.OutBytes} {
		fmt.Fprint(w, large(n, t.exact))
	}
}

func ratesOfService(t *table, w io.Writer, s *ipvs.ServiceStatus) {
	fmt.Fprintf(w, "%-*s", serviceWidth, t.serviceName(s.Key))
	r := &s.Rates
	for _, n := range [...]uint64{r.CPS, r.InPPS, r.OutPPS, r.InBPS, r.OutBPS} {
		fmt.Fprint(w, large(n, t.exact))
	}
	fmt.Fprintln(w)
}

// ratesOfServer shortens the two byte rates only.
func ratesOfServer(t *table, w io.Writer, d *ipvs.DestinationStatus) {
	r := &d.Rates
	fmt.Fprintf(w, " %8d %8d %8d%s%s", r.CPS, r.InPPS, r.OutPPS, large(r.InBPS, t.exact), large(r.OutBPS, t.exact))
}

// large writes a counter in nine places, right-aligned. Unless exact, numbers
// from 100,000,000 on are cut to thousands, millions and so on (factors of
// 1000), decimals dropped.
func large(n uint64, exact bool) string {
	const (
		k = 1000
		m = k * k
	)
	switch {
	case exact || n < 100*m:
		return fmt.Sprintf(" %8d", n)
	case n < k*m:
		return fmt.Sprintf("%8dK", n/k)
	case n < 100*k*m:
		return fmt.Sprintf("%8dM", n/m)
	case n < 100*m*m:
		return fmt.Sprintf("%8dG", n/(k*m))
	}
	return fmt.Sprintf("%8dT", n/(m*m))
}
