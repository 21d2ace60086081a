package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"natlb/internal/lab"
)

// segments collects what reaches an interface, read from the raw packets: of each TCP
// segment to a port its flags, its payload and the client that option 254 names.
type segments struct {
	mu   sync.Mutex
	seen []segment
}

type segment struct {
	flags   byte
	payload int
	client  netip.AddrPort // not valid without the option
}

// collect begins to collect, until the test ends. Segments are IPv4 or IPv6, without
// extension headers.
func collect(t *testing.T, n *lab.Namespace, port uint16) *segments {
	t.Helper()
	fd := -1
	must(t, n.Do(func() (err error) {
		const all = 0x0300 // ETH_P_ALL, in network byte order
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return err
	}))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
	s, stop := &segments{}, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<17)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, b, 0)
			if ll, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && ll.Pkttype == unix.PACKET_HOST {
				s.add(b[:n], port)
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		wg.Wait()
		noError(t, unix.Close(fd))
	})
	return s
}

func (s *segments) add(frame []byte, port uint16) {
	if len(frame) < 54 {
		return
	}
	l4, end := 14+int(frame[14]&15)*4, 14+int(binary.BigEndian.Uint16(frame[16:]))
	proto := frame[23]
	if frame[14]>>4 == 6 {
		l4, end, proto = 54, 54+int(binary.BigEndian.Uint16(frame[18:])), frame[20]
	}
	if proto != 6 || len(frame) < l4+20 || binary.BigEndian.Uint16(frame[l4+2:]) != port {
		return
	}
	data := l4 + int(frame[l4+12]>>4)*4
	seg := segment{flags: frame[l4+13], payload: end - data}
	for o := frame[l4+20 : data]; len(o) > 0; {
		switch {
		case o[0] == 0:
			o = nil
			continue
		case o[0] == 1:
			o = o[1:]
			continue
		case o[0] == 254:
			a, _ := netip.AddrFromSlice(o[4:o[1]])
			seg.client = netip.AddrPortFrom(a, binary.BigEndian.Uint16(o[2:]))
		}
		o = o[o[1]:]
	}
	s.mu.Lock()
	s.seen = append(s.seen, seg)
	s.mu.Unlock()
}

// all returns what has been collected so far.
func (s *segments) all() []segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]segment(nil), s.seen...)
}

// TestTOA: a real kernel's stack takes segments with the option, and a receiver beside
// it reads the client from them: from the first and from the one that ends the
// handshake, and no longer once the server has answered.
func TestTOA(t *testing.T) {
	begin(t, "curl", "ip")
	for _, tt := range []struct {
		name    string
		offload lab.Offload
	}{{"offloads on", lab.SuperPackets}, {"offloads off", lab.Complete}} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{IPv6: true, Servers: 1})
			must(t, c.SetOffload(tt.offload))
			strangeGateway(t, c)
			servePages(t, c.Servers)
			d := courseDirector(t, c)
			d.ctl("source add 192.168.56.240 2001:db8:0:56::f0")
			for vip, rip := range map[netip.Addr]netip.Addr{lab.VIP: c.RIPs[0], lab.VIP6: c.RIPs6[0]} {
				service := "-t " + netip.AddrPortFrom(vip, 80).String()
				d.ctl("-A " + service)
				d.ctl("-a " + service + " -r " + rip.String() + " --fullnat --toa")
			}
			for i, url := range []string{vipURL, fmt.Sprintf("http://[%v]/", lab.VIP6)} {
				local := uint16(40001 + i)
				client := netip.AddrPortFrom(c.CIPs[0][0], local)
				if i == 1 {
					client = netip.AddrPortFrom(c.CIPs6[0][0], local)
				}
				heard := collect(t, c.Servers[0], 80)
				if got := strings.TrimSpace(curl(t, c.Clients[0], "--local-port", fmt.Sprint(local), url)); got != "server-1" {
					t.Errorf("curl %s = %q", url, got)
				}
				const syn, ack, fin = 2, 16, 1 // flags
				await(t, "the connection has ended", 10*time.Second, func() bool {
					all := heard.all()
					return len(all) > 3 && ended(all, fin)
				})
				all := heard.all()
				for len(all) > 2 && all[1].flags == syn { // sent again: neighbours were looked for
					all = all[1:]
				}
				if all[0].flags != syn || all[0].client != client || all[1].flags != ack || all[1].client != client {
					t.Errorf("%s: SYN and ACK are %+v, want the client %v in both", url, all[:2], client)
				}
				last := all[len(all)-1]
				if last.client.IsValid() {
					t.Errorf("%s: the last segment still names the client: %+v", url, last)
				}
			}
			// A long request: what has no room for the option goes without, and nothing is lost.
			content := randomBytes(5 * mega)
			port := serveMirror(t, c.Servers[0], content)
			d.ctl("-A -t 192.168.0.178:" + port)
			d.ctl("-a -t 192.168.0.178:" + port + " -r " + c.RIPs[0].String() + " --fullnat --toa")
			exchange(t, c.Clients[0], "192.168.0.178:"+port, content)
			if t.Failed() {
				t.Log(d.ctl("-L -n -c"), d.ctl("drops"), d.ctl("counters"))
			}
		})
	}
}

// ended reports whether a segment with FIN is among them.
func ended(all []segment, fin byte) bool {
	for _, s := range all {
		if s.flags&fin != 0 {
			return true
		}
	}
	return false
}
