package e2e

// A gigabyte through the course, by one connection and by eight:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1: nginx, iperf3 -s
//	curl, iperf3 -c
//
// Downloads and uploads are compared byte by byte. With the offloads on, the
// frames are super-packets with partial checksums; with them off, they are one
// segment each with complete checksums.

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"natlb/internal/lab"
)

const mega = 1 << 20

// bulkPlans are the amounts of traffic by the state of the offloads. A frame a
// segment costs the kernels' own stacks forty times the packets.
var bulkPlans = []struct {
	name    string
	offload lab.Offload
	size    int // bytes, of one file
	rounds  int // how many times one connection fetches it; so many connections fetch it once
}{
	{"offloads on", lab.SuperPackets, 128 * mega, 8},
	{"checksums partial", lab.Segments, 8 * mega, 8},
	{"offloads off", lab.Complete, 25 * mega, 8},
}

func TestBulk(t *testing.T) {
	begin(t, "nginx", "curl")
	for _, plan := range bulkPlans {
		t.Run(plan.name, func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{Servers: 1})
			must(t, c.SetOffload(plan.offload))
			content := randomBytes(plan.size)
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "big"), content, 0o600))
			startNginx(t, c.Servers[0], 80, dir, "server-1")
			d := courseDirector(t, c)
			balance(d, c)

			t.Run("down, one connection", func(t *testing.T) { download(t, c.Clients[0], content, plan.rounds) })
			t.Run("down, eight connections", func(t *testing.T) { downloadAtOnce(t, c.Clients[0], content, 8) })
			t.Run("up, one connection", func(t *testing.T) { upload(t, c.Clients[0], dir, "big", content) })
			t.Run("up, eight connections", func(t *testing.T) { uploadAtOnce(t, c.Clients[0], dir, content, 8) })
		})
	}
}

// download fetches the file rounds times over one connection.
func download(t *testing.T, n *lab.Namespace, content []byte, rounds int) {
	out, complaint := &comparer{want: content}, &bytes.Buffer{}
	var args []string
	for range rounds {
		args = append(args, vipURL+"files/big")
	}
	args = append(args, "--write-out", "%{stderr}%{num_connects} ")
	if err := startCurl(n, out, complaint, args...); err != nil {
		t.Fatalf("curl: %v: %s", err, complaint)
	}
	if out.read != rounds*len(content) {
		t.Errorf("downloaded %d bytes, want %d", out.read, rounds*len(content))
	}
	if connects := bytes.Count(complaint.Bytes(), []byte("1 ")); connects != 1 {
		t.Errorf("curl connected %d times, want 1 connection for all", connects)
	}
}

// downloadAtOnce fetches the file by several clients at the same time.
func downloadAtOnce(t *testing.T, n *lab.Namespace, content []byte, clients int) {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			out, complaint := &comparer{want: content}, &bytes.Buffer{}
			if err := startCurl(n, out, complaint, vipURL+"files/big"); err != nil || out.read != len(content) {
				t.Errorf("curl downloaded %d bytes, %v (%s), want %d", out.read, err, complaint, len(content))
			}
		})
	}
	wg.Wait()
}

// upload sends the file from to the server and compares what it has stored.
func upload(t *testing.T, n *lab.Namespace, dir, from string, content []byte) {
	stored := fmt.Sprintf("%s-%d", from, rand.Uint64())
	complaint := &bytes.Buffer{}
	err := startCurl(n, io.Discard, complaint, "--upload-file", filepath.Join(dir, from), vipURL+"files/"+stored)
	if err != nil {
		t.Errorf("curl --upload-file: %v: %s", err, complaint)
		return
	}
	got, err := os.ReadFile(filepath.Join(dir, stored))
	if err != nil || sha256.Sum256(got) != sha256.Sum256(content) {
		t.Errorf("the server has stored %d bytes (%v) that differ from the %d sent", len(got), err, len(content))
	}
	noError(t, os.Remove(filepath.Join(dir, stored)))
}

func uploadAtOnce(t *testing.T, n *lab.Namespace, dir string, content []byte, clients int) {
	part := content[:len(content)/clients]
	must(t, os.WriteFile(filepath.Join(dir, "part"), part, 0o600))
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { upload(t, n, dir, "part", part) })
	}
	wg.Wait()
}

// comparer compares what is written to it with want over and over.
type comparer struct {
	want []byte
	read int
}

func (c *comparer) Write(p []byte) (int, error) {
	for taken := 0; taken < len(p); {
		at := c.read % len(c.want)
		n := min(len(p)-taken, len(c.want)-at)
		if !bytes.Equal(p[taken:taken+n], c.want[at:at+n]) {
			return taken, fmt.Errorf("the %d bytes from byte %d on differ from what was sent", n, c.read)
		}
		taken += n
		c.read += n
	}
	return len(p), nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{7})
	_, _ = source.Read(b) // never fails
	return b
}

// iperf3 opens a control connection and its streams to one port; natlb must
// keep them all.
func TestIperf(t *testing.T) {
	begin(t, "iperf3")
	c := newCourse(t, lab.CourseOptions{Servers: 1})
	startIperf(t, c.Servers[0])
	d := courseDirector(t, c)
	balanceOver(d, "-t 192.168.0.178:5201", c.RIPs...)

	for _, tt := range []struct {
		name    string
		offload lab.Offload
		streams int
		reverse bool
		bytes   int // of all streams together
	}{
		{"client sends, offloads on", lab.SuperPackets, 1, false, 1024 * mega},
		{"client sends by 8, offloads on", lab.SuperPackets, 8, false, 1024 * mega},
		{"server sends, offloads on", lab.SuperPackets, 1, true, 1024 * mega},
		{"server sends by 8, offloads off", lab.Complete, 8, true, 100 * mega},
		{"client sends, offloads off", lab.Complete, 1, false, 100 * mega},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, c.SetOffload(tt.offload))
			args := []string{"--client", lab.VIP.String(), "--json", "--bytes", strconv.Itoa(tt.bytes),
				"--parallel", strconv.Itoa(tt.streams), "--connect-timeout", "5000"}
			if tt.reverse {
				args = append(args, "--reverse")
			}
			received := iperf(t, c.Clients[0], args...)
			if want := float64(tt.bytes) * 0.9; received < want {
				t.Errorf("iperf3 received %.0f bytes, want at least %.0f", received, want)
			}
		})
	}
}

// Over IPv6, with one shard and with several.
func TestIperfOfIPv6(t *testing.T) {
	begin(t, "iperf3")
	for _, shards := range []string{"1", "3"} {
		t.Run(shards+" shards", func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{IPv6: true, Servers: 1})
			startIperf(t, c.Servers[0])
			d := courseDirector(t, c, "--shards", shards)
			service := netip.AddrPortFrom(lab.VIP6, 5201)
			d.ctl(fmt.Sprintf("-A -t %v -s rr", service))
			d.ctl(fmt.Sprintf("-a -t %v -r %v -m", service, netip.AddrPortFrom(c.RIPs6[0], 5201)))
			for _, tt := range []struct {
				name    string
				offload lab.Offload
				reverse bool
				bytes   int // of both streams together
			}{
				{"client sends, offloads on", lab.SuperPackets, false, 512 * mega},
				{"server sends, offloads on", lab.SuperPackets, true, 512 * mega},
				{"client sends, offloads off", lab.Complete, false, 100 * mega},
				{"server sends, offloads off", lab.Complete, true, 100 * mega},
			} {
				t.Run(tt.name, func(t *testing.T) {
					must(t, c.SetOffload(tt.offload))
					args := []string{"-6", "--client", lab.VIP6.String(), "--json", "--bytes", strconv.Itoa(tt.bytes), "--parallel", "2", "--connect-timeout", "5000"}
					if tt.reverse {
						args = append(args, "--reverse")
					}
					if received := iperf(t, c.Clients[0], args...); received < float64(tt.bytes)*0.9 {
						t.Errorf("iperf3 received %.0f bytes of %d", received, tt.bytes)
					}
				})
			}
		})
	}
}

// startIperf starts iperf3's server in the namespace.
func startIperf(t *testing.T, n *lab.Namespace) {
	t.Helper()
	log := &logBuffer{}
	server := exec.Command("iperf3", "--server")
	server.Stdout, server.Stderr = log, log
	runDaemon(t, n, server, log)
	awaitListening(t, n, 5201)
}

// iperf runs a client and returns how many bytes its server received. Between two runs
// the server is busy with the end of the first, or does not listen, for a moment.
func iperf(t *testing.T, n *lab.Namespace, args ...string) float64 {
	t.Helper()
	var report iperfReport
	await(t, "iperf3's server is ready", 20*time.Second, func() bool {
		report = runIperf(t, n, args...)
		return !strings.Contains(report.Error, "busy running a test") && !strings.Contains(report.Error, "Connection refused")
	})
	if report.Error != "" {
		t.Fatalf("iperf3: %s", report.Error)
	}
	t.Logf("%.2f Gbit/s", report.End.SumReceived.BitsPerSecond/1e9)
	return report.End.SumReceived.Bytes
}

// iperfReport is what is of interest of what iperf3 says in JSON.
type iperfReport struct {
	Error string
	End   struct {
		SumReceived struct {
			Bytes         float64
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
	}
}

func runIperf(t *testing.T, n *lab.Namespace, args ...string) (report iperfReport) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(within(t, time.Minute), "iperf3", args...)
	cmd.Stdout = &out
	err := n.Run(cmd)
	if jsonErr := json.Unmarshal(out.Bytes(), &report); jsonErr != nil || err != nil && report.Error == "" {
		t.Fatalf("iperf3: %v, %v", err, jsonErr)
	}
	return report
}
