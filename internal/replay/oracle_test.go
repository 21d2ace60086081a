package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
)

const oracle = "../../tools/oracle/"

// recordedRules returns what the director of a recording was told, in lines of a
// rules file.
func recordedRules(t *testing.T, path string) *ipvsadm.Rules {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Steps []struct {
			Step struct {
				Op         string
				Dst, Proto any // text, in the steps that matter here
				Mark       int
				Cmds       []string
				Cmd        string
			}
		}
	}
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range record.Steps {
		switch s.Step.Op {
		case "mark":
			lines = append(lines, fmt.Sprintf("mark -A PREROUTING -d %v -p %v -j MARK --set-mark %d", s.Step.Dst, s.Step.Proto, s.Step.Mark))
		case "dirs":
			lines = append(lines, s.Step.Cmds...)
		case "dir":
			lines = append(lines, s.Step.Cmd)
		}
	}
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "-L") })
	rules, err := ipvsadm.ParseRules(strings.NewReader(strings.Join(lines, "\n")), path)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestOracle: what the replay sends is what the kernel that was recorded has sent,
// byte for byte from the IP header on. The rule by which the kernel's own packets
// are known is tested with it.
func TestOracle(t *testing.T) {
	captures, err := filepath.Glob(filepath.Join(oracle, "pcaps/*/[ow]-cap-*.vip.pcap"))
	for _, name := range []string{"o6-sctp-cap", "o6-cap-tcp", "o6-cap-udp"} {
		captures = append(captures, filepath.Join(oracle, "pcaps/open", name+".vip.pcap"))
	}
	if err != nil || len(captures) < 17 {
		t.Fatalf("%d recordings (%v), want seven of each set, SCTP and IPv6", len(captures), err)
	}
	for _, capture := range captures {
		dir, name := filepath.Split(strings.TrimSuffix(capture, ".vip.pcap"))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := recordedRules(t, filepath.Join(oracle, "records", filepath.Base(dir), name+".json"))
			cfg := Config{Rules: rules, VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN, MTU: 1500}
			var want sent
			for _, side := range []Side{VIPSide, DIPSide} {
				path := filepath.Join(dir, name+"."+side.String()+".pcap")
				in, err := Open(path, side)
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				cfg.Inputs = append(cfg.Inputs, in)
				want.read(t, path, side)
			}
			var got sent
			cfg.Sink = &got
			r, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Packets.Sent < 2 || r.Packets.Own != uint64(len(want.lines[0])+len(want.lines[1])) {
				t.Errorf("%d packets sent, %d known as the kernel's own; it has sent %d and %d", r.Packets.Sent, r.Packets.Own, len(want.lines[0]), len(want.lines[1]))
			}
			if diff := cmp.Diff(want.lines, got.lines); diff != "" {
				t.Errorf("(-kernel +natlb):\n%s", diff)
			}
		})
	}
}

// sent collects what is sent on either side as text and in hex.
type sent struct{ lines [2][]string }

// Packet implements [Sink].
func (s *sent) Packet(link uint8, p *pcapfile.Packet, _ func() string) error {
	s.lines[link] = append(s.lines[link], textOf(p.Data))
	return nil
}

// textOf returns a frame as text, an IP packet without what may differ between a kernel and
// natlb: MAC addresses, Ethernet padding, and the ident field of an echo reply,
// which the director makes itself.
func textOf(frame []byte) string {
	if len(frame) > 54 && be.Uint16(frame[12:]) == 0x86dd {
		b := frame[:min(54+int(be.Uint16(frame[18:])), len(frame))]
		return fmt.Sprintf("%s %x", packettest.Describe(b), b[14:])
	}
	if len(frame) < 34 || be.Uint16(frame[12:]) != 0x0800 {
		return fmt.Sprintf("%x", frame)
	}
	end := 14 + int(frame[16])<<8 + int(frame[17])
	b := bytes.Clone(frame[:min(end, len(frame))])
	if b[23] == 1 && b[34] == 0 {
		b[18], b[19] = 0, 0
		packettest.FixIPv4Checksum(b)
	}
	return fmt.Sprintf("%s %x", packettest.Describe(b), b[14:])
}

// directorMACs are the recorded director's, by side.
var directorMACs = [2]string{"\x02\x00\x00\x00\x01\x01", "\x02\x00\x00\x00\x02\x01"}

// read takes from a recording what the director has sent, by its MAC address.
func (s *sent) read(t *testing.T, path string, side Side) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapfile.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for p := new(pcapfile.Packet); r.Next(p) == nil; {
		if string(p.Data[6:12]) == directorMACs[side] {
			s.lines[side] = append(s.lines[side], textOf(p.Data))
		}
	}
}
