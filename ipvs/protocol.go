package ipvs

import "strconv"

// Protocol is an IANA IP protocol number. The zero value stands for "any", as
// it does in firewall-mark services and their persistence templates.
type Protocol uint8

// The protocols that a virtual service can have.
const (
	AnyProtocol Protocol = 0
	TCP         Protocol = 6
	UDP         Protocol = 17
	SCTP        Protocol = 132
)

// String returns the name that ipvsadm prints: TCP, UDP, SCTP, or IP for
// [AnyProtocol]; other numbers print in decimal.
func (p Protocol) String() string {
	switch p {
	case AnyProtocol:
		return "IP"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return strconv.Itoa(int(p))
}
