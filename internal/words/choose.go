package words

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// serviceFlags name a virtual service: as ipvsadm does, or in one word for
// scripts.
type serviceFlags struct {
	options [4]string // values of -t, -u, -f, --sctp-service
	ipv6    bool      // -6: the mark's service is of IPv6
	text    string    // of --service
}

var serviceOptions = [4]string{"-t", "-u", "-f", "--sctp-service"}

func (f *serviceFlags) add(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVarP(&f.options[0], "tcp-service", "t", "", what+": TCP `VIP:port`")
	flags.StringVarP(&f.options[1], "udp-service", "u", "", what+": UDP `VIP:port`")
	flags.StringVarP(&f.options[2], "fwmark-service", "f", "", what+": firewall `mark`")
	flags.BoolVarP(&f.ipv6, "ipv6", "6", false, "with -f: the service of IPv6")
	flags.StringVar(&f.options[3], "sctp-service", "", what+": SCTP `VIP:port`")
}

// addText adds --service, too.
func (f *serviceFlags) addText(cmd *cobra.Command, what string) {
	f.add(cmd, what)
	cmd.Flags().StringVar(&f.text, "service", "", what+": `\"tcp VIP:port\"`, \"udp VIP:port\", \"sctp VIP:port\", \"fwm MARK\" or \"fwm MARK -6\"")
}

// given reports whether a service is named.
func (f *serviceFlags) given() bool { return f.text != "" || f.ipv6 || f.options != [4]string{} }

// target reads the service, and a server of it unless that is empty.
func (f *serviceFlags) target(ctx context.Context, server string) (ipvs.ServiceKey, ipvs.Destination, error) {
	options, ipv6 := f.options, f.ipv6
	if f.text != "" {
		word, value, _ := strings.Cut(strings.Join(strings.Fields(f.text), " "), " ")
		i := map[string]int{"tcp": 0, "-t": 0, "udp": 1, "-u": 1, "fwm": 2, "-f": 2, "sctp": 3, "--sctp-service": 3}
		at, known := i[strings.ToLower(word)]
		if !known {
			return ipvs.ServiceKey{}, ipvs.Destination{}, fmt.Errorf("--service takes \"tcp VIP:port\", \"udp VIP:port\", \"sctp VIP:port\", \"fwm MARK\" or \"fwm MARK -6\", not %q", f.text)
		}
		if options[at] != "" {
			return ipvs.ServiceKey{}, ipvs.Destination{}, errManyServices
		}
		mark, six := strings.CutSuffix(value, " -6")
		options[at], ipv6 = mark, ipv6 || six
	}
	option, value := "", ""
	for i, v := range options {
		if v == "" {
			continue
		}
		if option != "" {
			return ipvs.ServiceKey{}, ipvs.Destination{}, errManyServices
		}
		option, value = serviceOptions[i], v
	}
	service := []string{option, value}
	if ipv6 {
		if option != "-f" {
			return ipvs.ServiceKey{}, ipvs.Destination{}, errors.New("-6 goes with -f MARK: an address says its family itself")
		}
		service = append(service, "-6")
	}
	return ipvsadm.ParseTarget(ctx, service, server)
}

var errManyServices = fmt.Errorf("name one service, by -t, -u, --sctp-service, -f or --service")

// filterFlags choose connections or events.
type filterFlags struct {
	service        serviceFlags
	server, client string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	f.service.addText(cmd, "only of this service")
	cmd.Flags().StringVar(&f.server, "server", "", "only of the real server `RIP[:port]`")
	cmd.Flags().StringVar(&f.client, "client", "", "only of clients of `ADDRESS[/BITS]`")
}

func (f *filterFlags) filter(ctx context.Context) (filter control.Filter, err error) {
	if f.service.given() {
		if filter.Service, _, err = f.service.target(ctx, ""); err != nil {
			return filter, err
		}
	}
	if f.server != "" {
		if filter.Server, err = serverOf(f.server); err != nil {
			return filter, err
		}
	}
	if f.client != "" {
		if filter.Client, err = control.ParsePrefix(f.client); err != nil {
			return filter, fmt.Errorf("--client takes an address or a network as 198.51.100.0/24, not %q", f.client)
		}
	}
	return filter, nil
}

// serverOf reads RIP or RIP:port; port 0 is any.
func serverOf(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 0), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil {
		return server, fmt.Errorf("%q is no server: it takes RIP or RIP:port", text)
	}
	return server, nil
}
