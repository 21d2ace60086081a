package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Listen opens a listening stream socket inside the namespace, to be used from
// anywhere. address is IP:port in digits.
func (n *Namespace) Listen(network, address string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket opens a datagram socket inside the namespace, to be used from
// anywhere. address is IP:port in digits.
func (n *Namespace) ListenPacket(network, address string) (net.PacketConn, error) {
	var c net.PacketConn
	err := n.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial connects from inside the namespace; the connection can be used from
// anywhere. from is the local end, as far as its address and port are not to be
// the kernel's choice. address must be IP:port in digits: a name would be looked up on
// threads outside.
func (n *Namespace) Dial(ctx context.Context, network string, from netip.AddrPort, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("lab: dial from %s: %w", n.name, err)
	}
	d := net.Dialer{LocalAddr: localAddr(network, from, to.Addr())}
	var c net.Conn
	err = n.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// localAddr is from as the address type that net wants for the network and the
// other end, nil if from is the zero AddrPort.
func localAddr(network string, from netip.AddrPort, to netip.Addr) net.Addr {
	if from == (netip.AddrPort{}) {
		return nil
	}
	if !from.Addr().IsValid() {
		from = netip.AddrPortFrom(unspecified(to), from.Port())
	}
	if network[0] == 'u' { // udp, udp4, udp6
		return net.UDPAddrFromAddrPort(from)
	}
	return net.TCPAddrFromAddrPort(from)
}

// unspecified is the address of to's family that leaves the choice to the kernel.
func unspecified(to netip.Addr) netip.Addr {
	if to.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
