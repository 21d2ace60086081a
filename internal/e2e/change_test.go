package e2e

// The director's links change under it:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1, server-2

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"natlb/internal/lab"
)

// running is a course with a director that balances.
func running(t *testing.T, o lab.CourseOptions) (*lab.Course, *director) {
	t.Helper()
	c := newCourse(t, o)
	servePages(t, c.Servers)
	d := courseDirector(t, c)
	balance(d, c)
	checkBalanced(t, c)
	return c, d
}

// Links go down and come up again. TCP has patience for that: what is under way
// goes on.
func TestLinkDownAndUp(t *testing.T) {
	begin(t)
	for _, o := range []lab.CourseOptions{{}, {HostOwnsVIP: true, IPForward: true}} {
		c, d := running(t, o)
		content := randomBytes(200 * mega)
		port := serveMirror(t, c.Servers[0], content)
		balanceOver(d, "-t 192.168.0.178:"+port, c.RIPs[0])
		done := make(chan struct{})
		go func() {
			defer close(done)
			exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
		}()
		await(t, "the connection is under way", 10*time.Second, func() bool {
			return strings.Contains(d.ctl("-L -n -c"), "ESTABLISHED")
		})
		for _, link := range []string{lab.VIPLink, lab.DIPLink} {
			must(t, c.Director.SetUp(link, false))
			await(t, "the director has seen it", 5*time.Second, func() bool {
				return d.log.contains(`"` + link + `: link is down"`)
			})
			select {
			case <-done:
				t.Fatal("the connection is over: it has to be longer to be a test")
			default:
			}
			must(t, c.Director.SetUp(link, true))
		}
		<-done
		checkBalanced(t, c)
	}
}

// A link is deleted and comes back with the same name: another interface to the
// kernel, the same one to the operator.
func TestLinkComesBack(t *testing.T) {
	begin(t)
	vipSide := []netip.Prefix{netip.PrefixFrom(lab.Outer, 24)}
	dipSide := []netip.Prefix{netip.PrefixFrom(lab.DIP, 24)}
	for _, tt := range []struct {
		name     string
		options  lab.CourseOptions
		link, sw string
		addrs    []netip.Prefix
	}{
		{"inner link", lab.CourseOptions{}, lab.DIPLink, "dip-switch", dipSide},
		{"inner link, guarded", lab.CourseOptions{HostOwnsVIP: true, IPForward: true}, lab.DIPLink, "dip-switch", dipSide},
		{"outer link", lab.CourseOptions{}, lab.VIPLink, "vip-switch", vipSide},
		{"outer link, guarded", lab.CourseOptions{HostOwnsVIP: true, IPForward: true}, lab.VIPLink, "vip-switch",
			append(vipSide, netip.PrefixFrom(lab.VIP, 24))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, d := running(t, tt.options)
			must(t, c.Director.DelLink(tt.link))
			await(t, "the director says that the link is gone", 5*time.Second, func() bool { return d.log.contains("link is gone") })
			relay(t, c, tt.sw, tt.link, tt.addrs)
			await(t, "the director says that the link is back", 5*time.Second, func() bool { return d.log.contains("link is back") })
			if tt.options.HostOwnsVIP {
				forget(t, c.Clients[0]) // the VIP's new MAC address is the host's to announce
			}
			// The director hears of address and route a moment after the link.
			await(t, "requests are answered again", 10*time.Second, func() bool {
				_, err := firstClient(c).Get(within(t, 5*time.Second), vipURL)
				return err == nil
			})
			quietly(t, c, func() { checkBalanced(t, c) })
			if got, want := neighbour(t, c.Clients[0], lab.VIP), macOf(t, c.Director, lab.VIPLink); got != want {
				t.Errorf("the client's kernel has %s for the VIP, want the director's %s", got, want)
			}
		})
	}
}

// relay lays the cable between one of the director's links and its switch again.
func relay(t *testing.T, c *lab.Course, sw, link string, addrs []netip.Prefix) {
	t.Helper()
	const port = "director"
	var director *os.File
	must(t, c.Director.Do(func() (err error) {
		director, err = os.Open("/proc/thread-self/ns/net")
		return err
	}))
	defer director.Close()
	must(t, c.Host(sw).Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = port
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerNamespace = link, netlink.NsFd(director.Fd())
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		bridge, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(veth, bridge)
	}))
	must(t, c.Host(sw).SetUp(port, true), c.Director.SetUp(link, true))
	for _, a := range addrs {
		must(t, c.Director.AddAddr(link, a))
	}
}

// A link's MTU and MAC address change while it is in use.
func TestLinkChanges(t *testing.T) {
	begin(t)
	c, d := running(t, lab.CourseOptions{})
	content := randomBytes(5 * mega)
	port := serveMirror(t, c.Servers[0], content)
	balanceOver(d, "-t 192.168.0.178:"+port, c.RIPs[0])
	exchange(t, c.Clients[0], "192.168.0.178:"+port, content)

	// Servers keep their 1500; frames of theirs that are larger than what the
	// director's link takes are lost, so theirs shrinks, too.
	for _, mtu := range []int{1300, 9000, 1500} {
		must(t, c.Director.SetMTU(lab.DIPLink, mtu), c.Servers[0].SetMTU(lab.ServerLink, min(mtu, 1500)), c.Servers[1].SetMTU(lab.ServerLink, min(mtu, 1500)))
		exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
		checkBalanced(t, c)
	}
	for _, link := range []string{lab.VIPLink, lab.DIPLink} {
		mac := net.HardwareAddr{2, 0, 0, 0, 0, link[0]}
		must(t, c.Director.Do(func() error {
			l, err := netlink.LinkByName(link)
			if err != nil {
				return err
			}
			return netlink.LinkSetHardwareAddr(l, mac)
		}))
		// The VIP is natlb's to announce; the DIP is the host's, which does not.
		forget(t, c.Servers[0])
		forget(t, c.Servers[1])
		checkBalanced(t, c)
		if got := neighbour(t, c.Clients[0], lab.VIP); link == lab.VIPLink && got != mac.String() {
			t.Errorf("the client's kernel has %s for the VIP, want the new %s", got, mac)
		}
	}
}

// A VIP that natlb owns is announced when it appears, more than once because
// frames get lost, and again when its link has another MAC address.
func TestAnnouncements(t *testing.T) {
	begin(t)
	c := newCourse(t, lab.CourseOptions{})
	servePages(t, c.Servers)
	heard := hearAnnouncements(t, c.Clients[0], lab.VIP)
	d := courseDirector(t, c)
	balance(d, c)
	old := macOf(t, c.Director, lab.VIPLink)
	await(t, "the VIP has been announced three times", 10*time.Second, func() bool { return heard(old) == 3 })
	fresh := net.HardwareAddr{2, 0, 0, 0, 8, 8}
	must(t, c.Director.Do(func() error {
		l, err := netlink.LinkByName(lab.VIPLink)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, fresh)
	}))
	await(t, "the new address has been announced", 5*time.Second, func() bool { return heard(fresh.String()) > 0 })
	if got := neighbour(t, c.Clients[0], lab.VIP); got != "none" && got != fresh.String() {
		t.Errorf("after the announcement the client's kernel has %s for the VIP, want %s", got, fresh)
	}
	checkBalanced(t, c)
}

// hearAnnouncements listens for gratuitous ARP about an address; heard tells
// how often a MAC address has claimed it.
func hearAnnouncements(t *testing.T, n *lab.Namespace, address netip.Addr) (heard func(mac string) int) {
	t.Helper()
	var conn *packet.Conn
	must(t, n.Do(func() error {
		ifi, err := net.InterfaceByName(lab.ClientLink)
		if err != nil {
			return err
		}
		conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ARP, nil)
		return err
	}))
	var mu sync.Mutex
	claims := map[string]int{}
	var wg sync.WaitGroup
	wg.Go(func() {
		frame := make([]byte, 1500)
		for {
			size, _, err := conn.ReadFrom(frame)
			if err != nil {
				return // closed
			}
			const senderMAC, senderIP, targetIP, end = 22, 28, 38, 42 // RFC 826, behind the Ethernet header
			ip := address.AsSlice()
			if size >= end && bytes.Equal(frame[senderIP:senderIP+4], ip) && bytes.Equal(frame[targetIP:end], ip) {
				mu.Lock()
				claims[net.HardwareAddr(frame[senderMAC:senderIP]).String()]++
				mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		noError(t, conn.Close())
		wg.Wait()
	})
	return func(mac string) int {
		mu.Lock()
		defer mu.Unlock()
		return claims[mac]
	}
}

// forget empties a kernel's list of neighbours, as time would.
func forget(t *testing.T, n *lab.Namespace) {
	t.Helper()
	must(t, n.Do(func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for i := range list {
			if err := netlink.NeighDel(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

// A real server is replaced by a machine with the same address and another MAC.
func TestServerReplaced(t *testing.T) {
	begin(t)
	c, _ := running(t, lab.CourseOptions{})
	must(t, c.Servers[0].Do(func() error {
		l, err := netlink.LinkByName(lab.ServerLink)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 9, 9})
	}))
	// As a machine that comes up does: it says who has the address.
	must(t, lab.NewClient(c.Servers[0], netip.Addr{}).Ping(within(t, 10*time.Second), lab.DIP, 5))
	checkBalanced(t, c)
}
