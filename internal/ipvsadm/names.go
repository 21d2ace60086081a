package ipvsadm

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"natlb/ipvs"
)

// Lookup finds names and what they stand for. Its methods give up when ctx is
// done; false means that there is no answer.
type Lookup interface {
	Host(ctx context.Context, name string) (netip.Addr, bool) // first IPv4 address
	Name(ctx context.Context, addr netip.Addr) (string, bool)
	Port(service string, proto ipvs.Protocol) (uint16, bool)
	Service(port uint16, proto ipvs.Protocol) (string, bool)
}

// SystemLookup asks what the host asks: its resolver and /etc/services.
func SystemLookup() Lookup {
	return &systemLookup{services: sync.OnceValue(func() *serviceNames {
		f, err := os.Open("/etc/services")
		if err != nil {
			return parseServices(strings.NewReader("")) // none: ports have no names
		}
		defer f.Close()
		return parseServices(f)
	})}
}

type systemLookup struct{ services func() *serviceNames }

const hostTimeout = 10 * time.Second

func (l *systemLookup) Host(ctx context.Context, name string) (netip.Addr, bool) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, false
	}
	return addrs[0].Unmap(), true
}

func (l *systemLookup) Name(ctx context.Context, addr netip.Addr) (string, bool) {
	names, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
	if err != nil || len(names) == 0 {
		return "", false
	}
	return strings.TrimSuffix(names[0], "."), true
}

func (l *systemLookup) Port(service string, proto ipvs.Protocol) (uint16, bool) {
	port, ok := l.services().ports[serviceName{service, proto}]
	return port, ok
}

func (l *systemLookup) Service(port uint16, proto ipvs.Protocol) (string, bool) {
	name, ok := l.services().names[servicePort{port, proto}]
	return name, ok
}

type serviceName struct {
	name  string
	proto ipvs.Protocol
}

type servicePort struct {
	port  uint16
	proto ipvs.Protocol
}

// serviceNames is the services database (services(5)), first entry first.
type serviceNames struct {
	ports map[serviceName]uint16
	names map[servicePort]string
}

func parseServices(r io.Reader) *serviceNames {
	db := &serviceNames{ports: make(map[serviceName]uint16), names: make(map[servicePort]string)}
	protocols := map[string]ipvs.Protocol{"tcp": ipvs.TCP, "udp": ipvs.UDP, "sctp": ipvs.SCTP}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		number, protoName, _ := strings.Cut(words[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		proto, known := protocols[protoName]
		if err != nil || !known {
			continue
		}
		key := servicePort{uint16(port), proto}
		if _, taken := db.names[key]; !taken {
			db.names[key] = words[0]
		}
		for _, name := range append(words[:1:1], words[2:]...) {
			key := serviceName{name, proto}
			if _, taken := db.ports[key]; !taken {
				db.ports[key] = uint16(port)
			}
		}
	}
	return db
}

const (
	nameBudget  = 2 * time.Second // for all names of one listing
	endpointLen = 59              // longer names are cut
)

// namer writes endpoints, with names unless numeric. Deviation: 1.31 looks up
// one name after the other for as long as it takes; here a listing has two
// seconds for all its names and numbers for the rest.
type namer struct {
	numeric bool
	ctx     context.Context
	lookup  Lookup
	names   map[netip.Addr]string
}

// numbers looks nothing up.
var numbers = &namer{numeric: true}

// newNamer returns a namer whose time runs from now; stop gives it back.
func newNamer(ctx context.Context, lookup Lookup, numeric bool) (n *namer, stop context.CancelFunc) {
	ctx, stop = context.WithTimeout(ctx, nameBudget)
	return &namer{numeric: numeric, ctx: ctx, lookup: lookup, names: make(map[netip.Addr]string)}, stop
}

// endpoint returns addr:port, or [addr]:port for IPv6.
func (n *namer) endpoint(a netip.AddrPort, proto ipvs.Protocol) string {
	if n.numeric {
		return a.String()
	}
	host := n.host(a.Addr())
	if a.Addr().Is6() {
		host = "[" + host + "]"
	}
	port, ok := n.lookup.Service(a.Port(), proto)
	if !ok {
		port = strconv.Itoa(int(a.Port()))
	}
	text := host + ":" + port
	return text[:min(len(text), endpointLen)]
}

func (n *namer) host(a netip.Addr) string {
	if name, ok := n.names[a]; ok {
		return name
	}
	if n.ctx.Err() != nil {
		return a.String() // no time left, and nothing worth remembering
	}
	name, ok := n.lookup.Name(n.ctx, a)
	if !ok {
		name = a.String()
	}
	n.names[a] = name
	return name
}
