package hostnet

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Attributes of RTM_NEWNETCONF (linux/netconf.h).
const (
	netconfIfindex    = 1
	netconfForwarding = 2
	netconfHeaderLen  = 4 // struct netconfmsg: one byte of family, padded
)

// client asks questions over rtnetlink sockets that belong to the namespace
// they were opened in. One goroutine uses a client.
type client struct {
	handle *netlink.Handle
	raw    *nl.NetlinkSocket // for what the handle has no words for
	seq    map[int]*nl.SocketHandle
}

// newClient opens the sockets in the calling thread's namespace.
func newClient() (*client, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	raw, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	seq := map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: raw}}
	return &client{handle: handle, raw: raw, seq: seq}, nil
}

func (c *client) close() {
	c.handle.Close()
	c.raw.Close()
}

// dumpForwarding returns the forwarding switch of each interface index, of IPv4
// (AF_INET) or IPv6 (AF_INET6). A kernel without IPv6 forwards none of it.
func (c *client) dumpForwarding(family byte) (map[int]bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, unix.NLM_F_DUMP)
	req.Sockets = c.seq
	req.AddRawData([]byte{family, 0, 0, 0})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNETCONF)
	if family == unix.AF_INET6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	forwarding := make(map[int]bool, len(msgs))
	for _, m := range msgs {
		if index, on, ok := parseNetconf(m); ok {
			forwarding[index] = on
		}
	}
	return forwarding, nil
}

// parseNetconf reads the interface index and the forwarding switch of an
// RTM_NEWNETCONF message; ok is false when either is missing.
func parseNetconf(m []byte) (index int, on, ok bool) {
	if len(m) < netconfHeaderLen {
		return 0, false, false
	}
	attrs, err := nl.ParseRouteAttr(m[netconfHeaderLen:])
	if err != nil {
		return 0, false, false
	}
	var hasIndex, hasForwarding bool
	for _, a := range attrs {
		if len(a.Value) < 4 {
			continue
		}
		v := int32(nl.NativeEndian().Uint32(a.Value))
		switch a.Attr.Type {
		case netconfIfindex:
			index, hasIndex = int(v), true
		case netconfForwarding:
			on, hasForwarding = v != 0, true
		}
	}
	return index, on, hasIndex && hasForwarding
}
