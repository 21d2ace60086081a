package e2e

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"natlb/internal/lab"
	"natlb/internal/packettest"
)

// Types of SCTP's chunks (RFC 9260 section 3.2).
const (
	sctpDATA             = 0
	sctpINIT             = 1
	sctpINITACK          = 2
	sctpSHUTDOWN         = 7
	sctpSHUTDOWNACK      = 8
	sctpCOOKIEECHO       = 10
	sctpCOOKIEACK        = 11
	sctpSHUTDOWNCOMPLETE = 14
)

// sctpEnd is an end of SCTP that the lab plays over a raw socket, for kernels
// without it: as much of it as a director can see.
type sctpEnd struct {
	conn net.PacketConn
	at   netip.AddrPort
}

func openSCTP(t *testing.T, n *lab.Namespace, at netip.AddrPort) *sctpEnd {
	t.Helper()
	network := "ip4:132"
	if at.Addr().Is6() {
		network = "ip6:132"
	}
	conn, err := n.ListenPacket(network, at.Addr().String())
	must(t, err)
	return &sctpEnd{conn, at}
}

// send sends a chunk.
func (e *sctpEnd) send(to netip.AddrPort, chunk string, payload []byte) error {
	frame := packettest.Packet{Proto: 132, Src: e.at, Dst: to, Tag: 7, Chunks: chunk, Payload: payload}.Frame()
	headers := 14 + 20
	if to.Addr().Is6() {
		headers = 14 + 40
	}
	_, err := e.conn.WriteTo(frame[headers:], &net.IPAddr{IP: to.Addr().AsSlice()})
	return err
}

// next is the next packet to this end: who sent it and its first chunk. One whose
// CRC32c is wrong is lost, as it is in a kernel.
func (e *sctpEnd) next() (from netip.AddrPort, kind byte, payload []byte, err error) {
	buf := make([]byte, 65535)
	for {
		n, sender, err := e.conn.ReadFrom(buf)
		if err != nil {
			return from, 0, nil, err
		}
		b := buf[:n]
		if n < 16 || binary.BigEndian.Uint16(b[2:]) != e.at.Port() || !rightCRC(b) {
			continue
		}
		length := int(binary.BigEndian.Uint16(b[14:]))
		if length < 4 || 12+length > n {
			continue
		}
		address, _ := netip.AddrFromSlice(sender.(*net.IPAddr).IP)
		return netip.AddrPortFrom(address.Unmap(), binary.BigEndian.Uint16(b)), b[12], b[16 : 12+length], nil
	}
}

func rightCRC(b []byte) bool {
	sum := binary.LittleEndian.Uint32(b[8:])
	clear(b[8:12])
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) == sum
}

// serveSCTP answers as a server does, and sends data back with the namespace's
// name before it.
func serveSCTP(t *testing.T, n *lab.Namespace, at netip.AddrPort) {
	t.Helper()
	e := openSCTP(t, n, at)
	done := make(chan error, 1)
	go func() { done <- e.serve(n.Name()) }()
	t.Cleanup(func() {
		noError(t, e.conn.Close())
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func (e *sctpEnd) serve(name string) error {
	for {
		from, kind, payload, err := e.next()
		if err != nil {
			return err
		}
		switch kind {
		case sctpINIT:
			err = e.send(from, "INIT_ACK", nil)
		case sctpCOOKIEECHO:
			err = e.send(from, "COOKIE_ACK", nil)
		case sctpDATA:
			err = e.send(from, "DATA", append([]byte(name+":"), payload...))
		case sctpSHUTDOWN:
			err = e.send(from, "SHUTDOWN_ACK", nil)
		}
		if err != nil {
			return err
		}
	}
}

// checkSCTP makes associations with the servers in turn, each with its own data both
// ways and its end, and looks at one in the listing.
func (f *forwarding) checkSCTP(t *testing.T) {
	for i, n := range f.ends {
		serveSCTP(t, n, f.askedAt(i, 132))
	}
	f.serve("--sctp-service", 132, f.rips...)
	own := f.c.CIPs[0][0]
	if f.v6 {
		own = f.c.CIPs6[0][0]
	}
	var answers, names []string
	for i := range 4 {
		client := openSCTP(t, f.c.Clients[0], netip.AddrPortFrom(own, uint16(30000+i)))
		answers = append(answers, f.associate(t, client))
		noError(t, client.conn.Close())
	}
	for i := range f.ends {
		names = append(names, f.ends[len(f.ends)-1-i].Name())
	}
	checkTurns(t, answers, names...)
}

// associate is one association from its INIT to its end; it returns who answered.
func (f *forwarding) associate(t *testing.T, e *sctpEnd) (name string) {
	t.Helper()
	data := string(randomBytes(1000))
	for _, step := range []struct {
		chunk   string
		payload string
		want    byte
	}{
		{"INIT", "", sctpINITACK},
		{"COOKIE_ECHO", "cookie", sctpCOOKIEACK},
		{"DATA", data, sctpDATA},
		{"SHUTDOWN", "", sctpSHUTDOWNACK},
	} {
		payload := f.exchangeChunks(t, e, step.chunk, step.payload, step.want)
		switch step.want {
		case sctpCOOKIEACK:
			f.checkAssociation(t, e.at)
		case sctpDATA:
			who, got, _ := strings.Cut(payload, ":")
			if name = who; got != data {
				t.Errorf("%d bytes came back as %d others", len(data), len(got))
			}
		}
	}
	noError(t, e.send(f.at(132), "SHUTDOWN_COMPLETE", nil))
	return name
}

// exchangeChunks sends a chunk until the answer is there: a chunk of that type, from the VIP.
func (f *forwarding) exchangeChunks(t *testing.T, e *sctpEnd, chunk, payload string, want byte) string {
	t.Helper()
	for range 5 {
		must(t, e.send(f.at(132), chunk, []byte(payload)), e.conn.SetReadDeadline(time.Now().Add(time.Second)))
		for {
			from, kind, got, err := e.next()
			if isTimeout(err) {
				break // lost, as any packet may be
			}
			must(t, err)
			if from == f.at(132) && kind == want {
				return string(got)
			}
		}
	}
	t.Fatalf("%s was not answered by the VIP with chunk %d", chunk, want)
	return ""
}

// checkAssociation wants the listing to have a client's association established.
func (f *forwarding) checkAssociation(t *testing.T, client netip.AddrPort) {
	t.Helper()
	const established = "ESTABLISHED"
	listing := f.d.ctl("-L -n -c")
	for line := range strings.Lines(listing) {
		if w := strings.Fields(line); len(w) > 3 && w[0] == "SCTP" && w[3] == client.String() && w[2] == established {
			return
		}
	}
	t.Errorf("the association of %v is not listed as %s:\n%s", client, established, listing)
}
