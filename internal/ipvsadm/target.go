package ipvsadm

import (
	"context"
	"fmt"

	"natlb/ipvs"
)

// ParseTarget reads a virtual service, and a real server of it unless server is
// empty, in the words of ipvsadm: service is "-t", "VIP:port", or "-f", "MARK",
// "-6", and so on; names of hosts and ports are looked up. Only the address of the
// server means something.
func ParseTarget(ctx context.Context, service []string, server string) (ipvs.ServiceKey, ipvs.Destination, error) {
	words := append([]string{"-D"}, service...)
	if server != "" {
		words = append(append([]string{"-d"}, service...), "-r", server)
	}
	ln, err := newParser(ctx, "natlb", SystemLookup()).parse(words)
	if err != nil {
		return ipvs.ServiceKey{}, ipvs.Destination{}, err
	}
	c, err := ln.change()
	return c.Service.Key, c.Destination, err
}

// EditLine returns the ipvsadm words, numbers only, that give a server the
// configuration d: thresholds, too.
func EditLine(service ipvs.ServiceKey, d *ipvs.Destination) string {
	names := &namer{numeric: true}
	line := fmt.Sprintf("-e %s -r %s%s", serviceArgs(names, service), names.endpoint(d.Addr, service.Proto), serverArgs(d))
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		line += fmt.Sprintf(" -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
	}
	return line
}

// ServiceArgs returns the ipvsadm words for a service, numbers only: -t VIP:port.
func ServiceArgs(service ipvs.ServiceKey) string {
	return serviceArgs(&namer{numeric: true}, service)
}
