package ipvs

import "net/netip"

// ForwardMethod says how packets reach a real server. The numbers are the
// kernel's (IP_VS_CONN_F_MASQ and so on), but for FullNAT, which it does not have.
type ForwardMethod uint8

// Forwarding methods.
const (
	Masq   ForwardMethod = 0 // network address translation
	Local  ForwardMethod = 1 // the real server is the director itself
	Tunnel ForwardMethod = 2 // encapsulation
	Route  ForwardMethod = 3 // direct routing: only the MAC address changes
	Bypass ForwardMethod = 4 // sent on to the original destination

	// FullNAT is natlb's own: address translation of both ends. The real server
	// sees one of the director's source addresses instead of the client.
	FullNAT ForwardMethod = 5
)

// String returns ipvsadm's word for the method.
func (m ForwardMethod) String() string {
	switch m {
	case Masq:
		return "Masq"
	case Local:
		return "Local"
	case Tunnel:
		return "Tunnel"
	case Route:
		return "Route"
	case Bypass:
		return "Bypass"
	case FullNAT:
		return "FullNat"
	}
	return "Unknown"
}

// TunnelType is the encapsulation of a Tunnel destination.
type TunnelType uint8

// Tunnel types, with the kernel's numbers.
const (
	TunnelIPIP TunnelType = 0
	TunnelGUE  TunnelType = 1
	TunnelGRE  TunnelType = 2
)

// String returns the word that --tun-type takes.
func (t TunnelType) String() string {
	switch t {
	case TunnelGUE:
		return "gue"
	case TunnelGRE:
		return "gre"
	}
	return "ipip"
}

// TunnelChecksum says which checksum a tunnel carries.
type TunnelChecksum uint8

// Tunnel checksum choices, with the kernel's numbers.
const (
	TunnelNoChecksum     TunnelChecksum = 0
	TunnelChecksummed    TunnelChecksum = 1
	TunnelRemoteChecksum TunnelChecksum = 2
)

// TunnelOptions are the tunnel parameters of a destination; all zero for the
// other forwarding methods.
type TunnelOptions struct {
	Type     TunnelType
	Port     uint16 // GUE only
	Checksum TunnelChecksum
}

// Destination is the configuration of one real server under one service. Its
// identity inside the service is Addr.
type Destination struct {
	Addr   netip.AddrPort // RIP:RPort, unmapped; port 0 keeps the packet's port
	Method ForwardMethod
	Weight int32 // >= 0; 0 is quiesced: no new connections

	// Connection counts (active + inactive) at which the server stops and
	// resumes taking new connections; 0: none.
	UpperThreshold uint32
	LowerThreshold uint32

	Tunnel TunnelOptions

	// TOA tells the server the client's end by a TCP option, of FullNAT only.
	TOA bool
}
