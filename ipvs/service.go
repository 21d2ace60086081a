package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
)

// DefaultScheduler is what a service gets when none is named, as ipvsadm does.
const DefaultScheduler = "wlc"

// ServiceKey is the identity of a virtual service: either protocol, address and
// port, or a firewall mark with an address family. It is comparable.
type ServiceKey struct {
	Proto Protocol       // TCP, UDP or SCTP; AnyProtocol for a mark
	VIP   netip.AddrPort // unmapped; the zero value for a mark
	Mark  uint32         // 0: not a firewall-mark service
	V6    bool           // the family of a firewall-mark service
}

// IsMark reports whether k names a firewall-mark service.
func (k ServiceKey) IsMark() bool { return k.Mark != 0 }

// Is6 reports whether the service is of the IPv6 family.
func (k ServiceKey) Is6() bool {
	if k.IsMark() {
		return k.V6
	}
	return k.VIP.Addr().Is6()
}

// String returns the service as a log line names it, for instance
// "TCP 192.0.2.1:80" or "FWM 5".
func (k ServiceKey) String() string {
	if k.IsMark() {
		if k.V6 {
			return fmt.Sprintf("FWM %d IPv6", k.Mark)
		}
		return fmt.Sprintf("FWM %d", k.Mark)
	}
	return k.Proto.String() + " " + k.VIP.String()
}

// Compare orders services as ipvsadm lists them: by mark (those with an address
// first), family, protocol, address and port.
func (k ServiceKey) Compare(o ServiceKey) int {
	family := func(k ServiceKey) int {
		if k.Is6() {
			return 6
		}
		return 4
	}
	return cmp.Or(cmp.Compare(k.Mark, o.Mark), cmp.Compare(family(k), family(o)), cmp.Compare(k.Proto, o.Proto), k.VIP.Compare(o.VIP))
}

// ServiceFlags are the flags of a virtual service, with the kernel's numbers
// (include/uapi/linux/ip_vs.h).
type ServiceFlags uint32

// Service flags. The three scheduler flags mean what the scheduler makes of
// them: for sh and mh Sched1 is "fallback" and Sched2 is "port".
const (
	FlagPersistent ServiceFlags = 0x01
	FlagOnePacket  ServiceFlags = 0x04
	FlagSched1     ServiceFlags = 0x08
	FlagSched2     ServiceFlags = 0x10
	FlagSched3     ServiceFlags = 0x20
)

// Service is the configuration of one virtual service.
type Service struct {
	Key       ServiceKey
	Scheduler string // a name of package sched; "" means DefaultScheduler
	Flags     ServiceFlags

	// PersistTimeout is in seconds, and meaningful with FlagPersistent only.
	PersistTimeout uint32
	// Wildcard groups clients of a persistent IPv4 service: it is the
	// complement of the netmask (-M), the bits of a client's address that do
	// not matter. Host byte order, any bit pattern (ipvsadm takes 0.0.0.24
	// too); 0 is the default, where the whole address matters.
	Wildcard uint32
	// PrefixLen does the same for IPv6: 1..128, 0 stands for 128.
	PrefixLen uint8
	// Engine names the persistence engine ("sip"), or is empty.
	Engine string
}

// Persistent reports whether the service is persistent.
func (s *Service) Persistent() bool { return s.Flags&FlagPersistent != 0 }

// OnePacket reports whether the service schedules each datagram anew.
func (s *Service) OnePacket() bool { return s.Flags&FlagOnePacket != 0 }
