package doctor

import (
	"net/netip"

	"natlb/internal/control"
	"natlb/internal/hostnet"
	"natlb/ipvs"
)

// Facts are what [Look] found. The zero value of a part means that it could not
// be looked at, where its comment says nothing else.
type Facts struct {
	Natlb  string   // version of this program
	Caps   []string // capabilities of this process, as hostnet.Capabilities
	Named  bool     // the interfaces come from the command line: there is no director yet
	Socket Socket
	// Director is nil when none answers.
	Director *Director
	// Elsewhere says why the director's network namespace could not be entered;
	// then nothing below but Services and Counters is known.
	Elsewhere string
	RulesErr  string // what is wrong with the rules file, or empty

	Links    []Link // the director's, or those of the command line
	Services []ipvs.ServiceStatus
	VIPs     []VIP
	Servers  []Server // the machines, one for each RIP
	Census   []control.Census
	Counters []Counter
	Clients  Way // where answers to clients beyond the connected networks go
	Clients6 Way // the same of IPv6

	Rules     HostRules
	KernelVIP []KernelService // services of the kernel's own IPVS
	KernelErr bool            // /proc/net/ip_vs is there and cannot be read
	KernelHas bool            // the kernel has IPVS loaded
	Memory    Memory
}

// Socket is the control socket.
type Socket struct {
	Path   string
	State  SocketState
	Mode   uint32 // permission bits
	Detail string // why it cannot be used
}

// SocketState says what is at the path of the control socket where no director
// answers.
type SocketState uint8

// States of the control socket.
const (
	SocketAbsent    SocketState = iota // nothing is there
	SocketStale                        // nobody listens: a director was killed
	SocketForbidden                    // this user may not use it
	SocketForeign                      // something else than a socket is there
	SocketMismatch                     // what answers is no director of this version
	SocketSilent                       // somebody listens and does not answer
)

// Director is what the running director says of itself.
type Director struct {
	control.Status
	control.Setup
}

// Link is one interface of the director.
type Link struct {
	Name      string
	VIP, DIP  bool // its sides
	Exists    bool
	Type      string // how the kernel frames on it: ether, loopback, none ...
	Kind      string // driver's kind: device for hardware, veth, bridge ...
	Master    string // the bridge or bond that it belongs to, or empty
	Up        bool   // administratively
	Carrier   bool
	MTU       int
	Addrs     []netip.Prefix // of both families, not link-local ones
	Forward   bool
	Six       LinkSix
	RPFilter  int // net.ipv4.conf: the greater of all and the interface's own
	ARPIgnore int // the same
	// Offloads are the switches of ethtool -k by their names; nil: unknown.
	Offloads map[string]bool
	Packets  uint64 // received and sent since the interface is there
	Lost     uint64 // of them dropped, missed or faulty
	Losing   uint64 // lost while the doctor looked
	// Others are the interfaces that there are, where this one does not exist.
	Others []string
}

// LinkSix is what an interface has of IPv6.
type LinkSix struct {
	Disabled  bool // net.ipv6.conf: disable_ipv6
	Forward   bool // net.ipv6.conf: forwarding
	MTU       int  // net.ipv6.conf: mtu; 0: unknown
	LinkLocal netip.Addr
	Duplicate []netip.Addr // another machine has answered for them (IFA_F_DADFAILED)
	Tentative []netip.Addr // nobody has answered yet (IFA_F_TENTATIVE)
}

// VIP is one virtual address.
type VIP struct {
	Addr  netip.Addr
	Local string // the interface whose address it is, or empty
	OnNet bool   // in a network that is connected to the VIP side
	// Owners are other machines that answer ARP or neighbour discovery for it.
	Owners []Owner
	Asked  bool // it was asked for on every link of the VIP side
}

// Owner is another machine that says a VIP is its own.
type Owner struct {
	Link string
	MAC  [6]byte
}

// Server is one real server's machine.
type Server struct {
	RIP       netip.Addr
	Way       Way
	Neighbour hostnet.NeighbourState // of Way.NextHop, in the kernel's table
	Asked     bool                   // ARP or neighbour discovery has asked for Way.NextHop
	Answers   [][6]byte              // and the machines that have answered
	Fits      int                    // bytes of the longest ping that came back uncut, 0: none did
	// Connect is what came of a connection to its port, by RIP:port, for
	// servers that owe answers: accepted, refused, silent.
	Connect map[uint16]string
}

// Way is where the host's routes lead.
type Way struct {
	Kind    hostnet.RouteKind
	Link    string // the outlet's name
	NextHop netip.Addr
	MTU     int
}

// Counter is one of the director's counters.
type Counter struct {
	control.Counter
	Moved uint64 // while the doctor looked
}

// HostRules are the host's own packet filters.
type HostRules struct {
	Known  bool // nftables could be read
	Why    string
	Guard  bool     // natlb's table is there
	Legacy []string // commands that list tables which nftables does not show
	// Hostile are rules that touch what natlb does.
	Hostile []HostRule
}

// HostRule is a rule or chain of somebody else's.
type HostRule struct {
	Place string // family table chain, as nft prints them
	Does  string // dnat, redirect, tproxy, egress-drop
	// VIP and Port are what the rule asks of the destination; invalid and 0
	// when it asks nothing that the doctor can read.
	VIP  netip.Prefix
	Port uint16
}

// KernelService is a service of the kernel's own IPVS.
type KernelService struct {
	Proto ipvs.Protocol
	VIP   netip.AddrPort
}

// Memory is the host's memory in bytes.
type Memory struct{ Total, Available uint64 }

// link returns the director's link of that name, nil when it has none.
func (f *Facts) link(name string) *Link {
	for i := range f.Links {
		if f.Links[i].Name == name {
			return &f.Links[i]
		}
	}
	return nil
}

// server returns the machine with that address, nil when it is unknown.
func (f *Facts) server(rip netip.Addr) *Server {
	for i := range f.Servers {
		if f.Servers[i].RIP == rip {
			return &f.Servers[i]
		}
	}
	return nil
}

// dip returns an address of the director on a link, for cures: what servers of a
// family have to use as their gateway. DIP stands for it when there is none.
func (f *Facts) dip(link string, v6 bool) string {
	if l := f.link(link); l != nil {
		for _, p := range l.Addrs {
			if p.Addr().Is6() == v6 {
				return p.Addr().String()
			}
		}
	}
	return "DIP"
}
