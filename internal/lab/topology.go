package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
)

// bridgeName is the bridge in every switch.
const bridgeName = "br0"

// Plan says what a lab consists of, before any of it exists.
type Plan struct {
	Hosts  []Host
	Cables []Cable
}

// Host is one namespace to be.
type Host struct {
	Name    string
	Switch  bool              // all its cable ends become ports of one bridge
	Sysctls map[string]string // set before the first link exists, so that net.ipv4.conf.default.* counts
	Routes  []Route           // added when all links are up
	Rules   []Rule
}

// Cable is a veth pair between two hosts.
type Cable [2]End

// End is one end of a cable: an interface of a host.
type End struct {
	Host, Link string
	Addrs      []netip.Prefix
	MTU        int // bytes; 0 is 1500
}

// Lab is a built plan.
type Lab struct {
	plan  Plan
	hosts map[string]*Namespace
}

// Build makes the namespaces, lays the cables, brings everything up and then
// adds the routes. On an error what was built so far is gone again.
func Build(p Plan) (*Lab, error) {
	l := &Lab{plan: p, hosts: make(map[string]*Namespace)}
	if err := l.build(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) build() error {
	for _, h := range l.plan.Hosts {
		if err := l.addHost(h); err != nil {
			return err
		}
	}
	for _, c := range l.plan.Cables {
		if err := l.addCable(c); err != nil {
			return err
		}
	}
	for _, h := range l.plan.Hosts {
		if err := l.addRoutes(h); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) addHost(h Host) error {
	if l.hosts[h.Name] != nil {
		return fmt.Errorf("lab: two hosts are called %s", h.Name)
	}
	n, err := NewNamespace(h.Name)
	if err != nil {
		return err
	}
	l.hosts[h.Name] = n
	for _, name := range slices.Sorted(maps.Keys(h.Sysctls)) {
		if err := n.Sysctl(name, h.Sysctls[name]); err != nil {
			return fmt.Errorf("lab: %s: %w", h.Name, err)
		}
	}
	if !h.Switch {
		return nil
	}
	if err := n.addBridge(bridgeName); err != nil {
		return err
	}
	// Where br_netfilter is loaded, bridges would send every frame through the
	// netfilter hooks; that is not what a switch does.
	err = n.Sysctl("net.bridge.bridge-nf-call-iptables", "0")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (l *Lab) addCable(c Cable) error {
	a, b := l.hosts[c[0].Host], l.hosts[c[1].Host]
	if a == nil || b == nil {
		return fmt.Errorf("lab: a cable from %q to %q needs both hosts", c[0].Host, c[1].Host)
	}
	if err := addCable(a, c[0].Link, c[0].MTU, b, c[1].Link, c[1].MTU); err != nil {
		return err
	}
	// The end that comes up last works at once, the other when the kernel gets
	// round to its carrier: within a second, but soon if it is a bridge port.
	if l.isSwitch(c[1].Host) {
		c[0], c[1] = c[1], c[0]
	}
	return errors.Join(l.connect(c[0]), l.connect(c[1]))
}

// connect puts a laid cable end to use: as a port of its switch or with its
// addresses, and up.
func (l *Lab) connect(e End) error {
	n := l.hosts[e.Host]
	if l.isSwitch(e.Host) {
		if err := n.plug(e.Link, bridgeName); err != nil {
			return err
		}
	}
	for _, a := range e.Addrs {
		if err := n.AddAddr(e.Link, a); err != nil {
			return err
		}
	}
	return n.SetUp(e.Link, true)
}

func (l *Lab) addRoutes(h Host) error {
	n := l.hosts[h.Name]
	for _, r := range h.Routes {
		if err := n.AddRoute(r); err != nil {
			return err
		}
	}
	for _, r := range h.Rules {
		if err := n.AddRule(r); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) isSwitch(host string) bool {
	return slices.ContainsFunc(l.plan.Hosts, func(h Host) bool { return h.Name == host && h.Switch })
}

// Host is the namespace of that name, nil if the plan has none.
func (l *Lab) Host(name string) *Namespace { return l.hosts[name] }

// SetOffload switches the offloads of both ends of every cable.
func (l *Lab) SetOffload(o Offload) error {
	for _, c := range l.plan.Cables {
		for _, e := range c {
			if err := l.hosts[e.Host].SetOffload(e.Link, o); err != nil {
				return fmt.Errorf("lab: %s: %w", e.Host, err)
			}
		}
	}
	return nil
}

// Close gives every namespace up and kills what was started in them.
func (l *Lab) Close() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(l.hosts)) {
		errs = append(errs, l.hosts[name].Close())
	}
	return errors.Join(errs...)
}
