package dataplane_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"natlb/internal/packettest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"
)

const (
	recordings = "../tools/oracle/pcaps/open/"
	records    = "../tools/oracle/records/open/"
)

// TestReplayRecordings feeds what clients and servers sent to a kernel's IPVS
// to a shard, and wants on each side what the kernel sent there: every byte of
// every IP packet but the ident field of packets that the director itself made,
// and the source port of GUE, a hash with a key.
func TestReplayRecordings(t *testing.T) {
	for _, name := range []string{
		"o-cap-icmp", "o-cap-tcp", "o-cap-tcp-opts", "o-cap-udp", "o-cap-udp-csum0", "o-cap-udp-frag", "o6-dr-cap",
		"o6-tun-ipip", "o6-tun-gre", "o6-tun-gre-csum", "o6-tun-gue", "o6-tun-gue-csum", "o6-tun-gue-remcsum",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(nil)
			w.mustRules(t, recordedRules(t, name))
			want := [2][]string{}
			got := [2][]string{}
			inputs := 0
			for _, c := range captured(t, name) {
				if !w.sentToDirector(c) {
					want[c.link] = append(want[c.link], comparable(c.data))
					continue
				}
				inputs++
				w.now = 1000*time.Second + c.at
				w.setHost(func(h *packettest.Host) { h.Links[dipLink].MTU = recordedMTU(name, c.data) })
				b := slices.Clone(c.data)
				links := w.host.Links[c.link]
				copy(b, links.MAC[:])
				w.batch(frame(c.link, b))
				for _, f := range w.shard.Output() {
					got[f.Link] = append(got[f.Link], comparable(f.Data))
				}
			}
			if inputs == 0 || len(want[0]) == 0 && len(want[1]) == 0 {
				t.Fatalf("%d inputs, %d and %d outputs recorded", inputs, len(want[0]), len(want[1]))
			}
			for link := range want {
				if diff := cmp.Diff(want[link], got[link]); diff != "" {
					t.Errorf("sent by %s (-kernel +natlb):\n%s", linkNames[link], diff)
				}
			}
			if err := w.ledger(); err != nil {
				t.Error(err)
			}
		})
	}
}

// recordedRules returns what the recorded director was configured with.
func recordedRules(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(records, name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(text)) {
		if rule, ok := strings.CutPrefix(line, "$ director "); ok && !strings.HasPrefix(rule, "-L") && !strings.HasPrefix(rule, "-S") {
			rules = append(rules, rule)
		}
	}
	return strings.Join(rules, "")
}

type capturedFrame struct {
	at   time.Duration
	link uint8
	data []byte
}

// recordedMTU returns the MTU on the servers' side when a packet came in.
func recordedMTU(name string, b []byte) int {
	if port := binary.BigEndian.Uint16(b[34:]); name == "o6-dr-cap" && (port == 5103 || port == 5104) {
		return 1400
	}
	return 1500
}

// captured returns both sides of a recording in order of time, up to the end of
// the shorter one.
func captured(t *testing.T, name string) (all []capturedFrame) {
	t.Helper()
	for link, side := range linkNames {
		path := filepath.Join(recordings, name+"."+side+".pcap")
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for {
			data, info, err := r.ReadPacketData()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			all = append(all, capturedFrame{time.Duration(info.Timestamp.UnixNano()), uint8(link), data})
		}
	}
	slices.SortStableFunc(all, func(a, b capturedFrame) int { return int(a.at - b.at) })
	ends := [2]time.Duration{}
	for _, c := range all {
		ends[c.link] = max(ends[c.link], c.at)
	}
	all = slices.DeleteFunc(all, func(c capturedFrame) bool { return c.at > min(ends[0], ends[1])+time.Second })
	for i := len(all) - 1; i >= 0; i-- {
		all[i].at -= all[0].at
	}
	return all
}

// sentToDirector tells what the director received from what it sent, by the
// side on which each station is.
func (w *world) sentToDirector(c capturedFrame) bool {
	src, dst := netip.AddrFrom4([4]byte(c.data[26:30])), netip.AddrFrom4([4]byte(c.data[30:34]))
	clients, servers := netip.MustParsePrefix("10.10.2.0/23"), netip.MustParsePrefix("10.20.0.0/24")
	if c.link == vipLink {
		return clients.Contains(src)
	}
	return servers.Contains(src) && !servers.Contains(dst)
}

// comparable returns the packet as text and in hex, without what may differ.
func comparable(b []byte) string {
	b = slices.Clone(b[:14+int(b[16])<<8+int(b[17])])
	tunnel := [4]byte(b[26:30]) == [4]byte{10, 20, 0, 1}
	if b[22] == 64 || tunnel && b[20]&0x40 == 0 { // the director's own: forwarded packets have lost one
		b[18], b[19] = 0, 0
		packettest.FixIPv4Checksum(b)
	}
	if tunnel && b[23] == 17 && b[20]&0x1f == 0 && b[21] == 0 {
		ports, sum := b[34:36], b[40:42]
		if n := uint32(binary.BigEndian.Uint16(sum)); n != 0 { // without the port
			n = ^n&0xffff + ^uint32(binary.BigEndian.Uint16(ports))&0xffff
			binary.BigEndian.PutUint16(sum, ^uint16(n+n>>16))
		}
		if port := binary.BigEndian.Uint16(ports); port < 32768 || port > 60999 {
			return "source port of GUE outside of the ephemeral ones"
		}
		clear(ports)
	}
	return fmt.Sprintf("%s %x", packettest.Describe(b), b[14:])
}
