package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Client asks from inside a namespace, always from the same address. Its
// methods may be called by many goroutines at once.
type Client struct {
	// Pause is how long a connection of Get rests between its handshake and its
	// request: a director sees it as active meanwhile. Set it before the first
	// request.
	Pause time.Duration

	ns   *Namespace
	from netip.Addr
	http *http.Client
}

// Ports of Echo's sockets. The kernel draws ports at random and soon draws one
// again, which is the same connection to a director.
const (
	firstEchoPort = 20000
	echoPorts     = 10000
)

func (n *Namespace) echoPort() uint16 {
	return uint16(firstEchoPort + n.echoes.Add(1)%echoPorts)
}

// NewClient is a client in the namespace. from is one of its addresses, or the
// zero Addr to leave the choice to the kernel.
func NewClient(n *Namespace, from netip.Addr) *Client {
	c := &Client{ns: n, from: from}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext:        c.dial,
	}}
	return c
}

// dial connects and rests.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.ns.Dial(ctx, network, netip.AddrPortFrom(c.from, 0), address)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(c.Pause):
		return conn, nil
	case <-ctx.Done():
		conn.Close()
		return nil, context.Cause(ctx)
	}
}

// Get fetches a page by a connection of its own and returns its body. The
// url's host is an address in digits.
func (c *Client) Get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, response.Status)
	}
	return string(body), nil
}

// echoPatience is how long one try of Echo or Ping waits for its answer.
const echoPatience = time.Second

// Echo sends a datagram from a port of its own and returns the answer. What is
// lost is sent again, each try waiting a second.
func (c *Client) Echo(ctx context.Context, to netip.AddrPort, payload string, tries int) (string, error) {
	conn, err := c.ns.Dial(ctx, "udp", netip.AddrPortFrom(c.from, c.ns.echoPort()), to.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	buf := make([]byte, 65535)
	size, err := ask(ctx, conn, []byte(payload), buf, tries)
	if err != nil {
		return "", fmt.Errorf("echo from %v: %w", to, err)
	}
	return string(buf[:size]), nil
}

// Ping sends an ICMP echo request and waits for its reply; what is lost is sent
// again, each try waiting a second. An ICMP error that arrives instead counts
// as lost.
func (c *Client) Ping(ctx context.Context, to netip.Addr, tries int) error {
	from := unspecified(to)
	if c.from.IsValid() {
		from = c.from
	}
	words := icmp4
	if to.Is6() {
		words = icmp6
	}
	var conn *icmp.PacketConn
	err := c.ns.Do(func() (err error) {
		conn, err = icmp.ListenPacket(words.network, from.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("ping %v: %w", to, err)
	}
	defer conn.Close()
	echo := &icmp.Echo{ID: rand.IntN(1 << 16), Seq: 1, Data: []byte("natlb")}
	request, err := (&icmp.Message{Type: words.echo, Body: echo}).Marshal(nil)
	if err != nil {
		return err
	}
	err = errors.New("not one try")
	for range tries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err = conn.WriteTo(request, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			continue
		}
		if err = awaitReply(conn, words, echo.ID); err == nil {
			return nil
		}
	}
	return fmt.Errorf("ping %v: %w", to, err)
}

// icmpWords are what a family calls the parts of a ping.
type icmpWords struct {
	network     string
	proto       int
	echo, reply icmp.Type
}

var (
	icmp4 = icmpWords{"ip4:icmp", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply}
	icmp6 = icmpWords{"ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}
)

// awaitReply reads until the echo reply with this identifier comes.
func awaitReply(conn *icmp.PacketConn, words icmpWords, id int) error {
	if err := conn.SetReadDeadline(time.Now().Add(echoPatience)); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		size, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(words.proto, buf[:size])
		if err != nil {
			continue // a truncated stranger
		}
		if reply, ok := m.Body.(*icmp.Echo); ok && m.Type == words.reply && reply.ID == id {
			return nil
		}
	}
}

// ask sends payload and reads one answer into buf, up to tries times.
func ask(ctx context.Context, conn net.Conn, payload, buf []byte, tries int) (size int, err error) {
	err = errors.New("not one try")
	for range tries {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if _, err = conn.Write(payload); err != nil {
			continue // a port-unreachable that an earlier try has earned
		}
		if err = conn.SetReadDeadline(time.Now().Add(echoPatience)); err != nil {
			return 0, err
		}
		if size, err = conn.Read(buf); err == nil {
			return size, nil
		}
	}
	return 0, err
}
