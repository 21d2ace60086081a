package replay

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/pcapfile"
)

// tshark runs Wireshark's reader and returns its lines.
func tshark(t testing.TB, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed (Debian: apt-get install tshark)")
	}
	var complaint bytes.Buffer
	cmd := exec.Command(path, append([]string{"-n", "-o", "tcp.relative_sequence_numbers:FALSE"}, args...)...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %v: %v\n%s", args, err, complaint.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestPackagingsAreWiresharks: Wireshark finds the same addresses and ports in
// each packaging as in the Ethernet frames. So it is the links' own formats that
// TestPackagings reads, and not those that its author imagined.
func TestPackagingsAreWiresharks(t *testing.T) {
	s := shapes[0].perform(t)
	dir := t.TempDir()
	ends := func(name string, file []byte) []string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
		return tshark(t, "-r", path, "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src", "-e", "ip.dst", "-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "tcp.len")
	}
	want := ends("ethernet.pcap", s.file(VIPSide))
	if len(want) != len(s.side[VIPSide]) || !strings.Contains(want[0], "198.51.100.1\t192.0.2.10") {
		t.Fatalf("Wireshark reads %q", want)
	}
	for i, k := range packagings {
		if diff := cmp.Diff(want, ends(k.name+".pcap", k.packaged(s, VIPSide, i%2 == 0))); diff != "" {
			t.Errorf("%s (-Ethernet +%s):\n%s", k.name, k.name, diff)
		}
	}
}

// TestDecodeIsWiresharks: every field that a difference shows has the name and
// the value that Wireshark gives it, in all that the scenes send.
func TestDecodeIsWiresharks(t *testing.T) {
	names := []string{"frame.len", "eth.dst", "eth.src", "eth.type", "arp.opcode", "arp.src.hw_mac", "arp.src.proto_ipv4", "arp.dst.hw_mac", "arp.dst.proto_ipv4",
		"ip.hdr_len", "ip.dsfield", "ip.len", "ip.id", "ip.flags", "ip.frag_offset", "ip.ttl", "ip.proto", "ip.checksum", "ip.src", "ip.dst",
		"tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.hdr_len", "tcp.flags", "tcp.window_size_value", "tcp.checksum", "tcp.urgent_pointer", "tcp.options",
		"udp.srcport", "udp.dstport", "udp.length", "udp.checksum", "sctp.srcport", "sctp.dstport", "sctp.verification_tag", "sctp.checksum", "sctp.chunk_type", "sctp.chunk_flags",
		"sctp.chunk_length", "icmp.type", "icmp.code", "icmp.checksum"}
	path := filepath.Join(t.TempDir(), "sent.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapfile.NewWriter(f, pcapfile.Ethernet)
	var want []string
	for _, c := range scenes() {
		if c.name == "ipv6-tunnels" { // Wireshark looks into them
			continue
		}
		s := c.perform(t)
		runFiles(t, &c, s.file(VIPSide), s.file(DIPSide), func(cfg *Config) {
			cfg.Sink = sinkFunc(func(_ uint8, p *pcapfile.Packet) error {
				want = append(want, asFields(Decode(p), names))
				return w.Write(p)
			})
		})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", path, "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"}
	for _, n := range names {
		// Where Wireshark numbers from the raw ones, it has these for all packets.
		args = append(args, "-e", strings.TrimSuffix(n, "_raw"))
	}
	if diff := cmp.Diff(tshark(t, args...), want); diff != "" {
		t.Errorf("(-tshark +natlb):\n%s", diff)
	}
}

// asFields returns fields as tshark prints them: those of a quoted packet behind
// those of the packet that quotes it, bare.
func asFields(fields []Field, names []string) string {
	values := make([]string, len(names))
	for _, f := range fields {
		i := slices.Index(names, strings.TrimPrefix(f.Name, "quoted "))
		if i < 0 {
			continue
		}
		if values[i] != "" {
			values[i] += ","
		}
		values[i] += f.Value
	}
	return strings.Join(values, "\t")
}

type sinkFunc func(link uint8, p *pcapfile.Packet) error

func (f sinkFunc) Packet(link uint8, p *pcapfile.Packet, _ func() string) error { return f(link, p) }

// TestCommentsInWireshark: Wireshark shows the comments of a .pcapng that natlb
// writes, and natlb reads those of Wireshark's own editcap.
func TestCommentsInWireshark(t *testing.T) {
	dir := t.TempDir()
	c := commandFor("testdata/http")
	c.OutDIP = filepath.Join(dir, "dip.pcapng")
	if err := c.Run(t.Context(), new(bytes.Buffer), os.Stderr); err != nil {
		t.Fatal(err)
	}
	got := tshark(t, "-r", c.OutDIP, "-T", "fields", "-e", "frame.comment", "-e", "frame.interface_name")
	if want := "forward: TCP 198.51.100.1:44000 > 192.0.2.10:80 > 10.20.0.12:8080\tdip"; got[0] != want {
		t.Errorf("Wireshark reads %q, want %q", got[0], want)
	}
	edited := filepath.Join(dir, "edited.pcapng")
	if out, err := exec.Command("editcap", "-a", "2:look here", c.OutDIP, edited).CombinedOutput(); err != nil {
		t.Fatalf("editcap: %v\n%s", err, out)
	}
	f, err := os.Open(edited)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapfile.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var p pcapfile.Packet
	for range 2 {
		if err := r.Next(&p); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(p.Comments(), "look here") {
		t.Errorf("natlb reads %q", p.Comments())
	}
}

// TestWiresharksFormats: what Wireshark's tools make of a capture replays as the
// capture itself.
func TestWiresharksFormats(t *testing.T) {
	c := &shapes[0]
	want, wantSent := runFiles(t, c, c.perform(t).file(VIPSide), c.perform(t).file(DIPSide), nil)
	for _, format := range []string{"pcap", "nsecpcap", "pcapng"} {
		t.Run(format, func(t *testing.T) {
			var files [2][]byte
			for side, name := range []string{"vip.pcap", "dip.pcap"} {
				out := filepath.Join(t.TempDir(), name)
				if _, err := exec.LookPath("editcap"); err != nil {
					t.Skip("editcap is not installed (Debian: apt-get install tshark)")
				}
				if said, err := exec.Command("editcap", "-F", format, filepath.Join("testdata/http", name), out).CombinedOutput(); err != nil {
					t.Fatalf("editcap: %v\n%s", err, said)
				}
				b, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				files[side] = b
			}
			got, gotSent := runFiles(t, c, files[0], files[1], nil)
			if diff := cmp.Diff(wantSent.lines, gotSent.lines); diff != "" {
				t.Errorf("sent (-ours +%s):\n%s", format, diff)
			}
			if diff := cmp.Diff(tables(t, want), tables(t, got)); diff != "" {
				t.Errorf("tables (-ours +%s):\n%s", format, diff)
			}
		})
	}
}
