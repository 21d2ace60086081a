package oracletest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"natlb/dataplane"
	"natlb/internal/packettest"
)

// goldens are the scenarios whose packets were captured on both sides of the
// recorded director, and why one cannot be replayed yet.
var goldens = map[string]string{
	"o-cap-icmp":        "",
	"o-cap-persist-fwm": "",
	"o-cap-tcp":         "",
	"o-cap-tcp-opts":    "",
	"o-cap-udp":         "",
	"o-cap-udp-csum0":   "",
	"o-cap-udp-frag":    "",
	"w-cap-icmp":        "",
	"w-cap-persist-fwm": "",
	"w-cap-tcp":         "",
	"w-cap-tcp-opts":    "",
	"w-cap-udp":         "",
	"w-cap-udp-csum0":   "",
	"w-cap-udp-frag":    "",
}

// normal returns a frame without what must differ from the recording:
//
//   - the IP identification of an echo reply, which the director makes itself: the
//     kernel draws it from a counter that starts at random, natlb takes the
//     request's (the header checksum goes with it, once it was found to be right).
//
// Everything else counts, MAC addresses included.
func normal(frame []byte) []byte {
	h, p, ok := parseIP(frame[min(len(frame), 14):])
	if !ok || h.proto != protoICMP || h.off != 0 || len(p) < 8 || p[0] != 0 {
		return frame
	}
	out := slices.Clone(frame)
	if ip := out[14:34]; checksum(ip, 0) == 0 {
		copy(ip[4:6], []byte{0, 0})
		copy(ip[10:12], []byte{0, 0})
	}
	return out
}

// TestGoldens puts what clients and real servers were recorded to send into the
// director, at the recorded times, and compares what comes out byte for byte
// with what the recorded director sent, on both sides.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob(oracleDir + "/pcaps/*/?-cap-*.vip.pcap")
	if err != nil || len(files) != len(goldens) {
		t.Fatalf("captures in %s: %d and %v, want %d", oracleDir, len(files), err, len(goldens))
	}
	for name, later := range goldens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(readRecord(t, name), setup{shards: 1})
			if ok := configure(t, p, name); later != "" {
				if ok {
					t.Fatalf("the director takes the rules by now; this is stale: %s", later)
				}
				t.Skip(later)
			} else if !ok {
				t.Fatal("the director refuses the recorded rules")
			}
			frames, want := captures(t, name)
			got := replay(p.net, frames)
			for link, side := range []string{"VIP", "DIP"} {
				compareFrames(t, side, want[link], got[link])
			}
		})
	}
}

// configure types the scenario's rules and reports whether all were taken.
func configure(t *testing.T, p *player, name string) bool {
	t.Helper()
	for i, s := range readRecord(t, name).Steps {
		switch s.Step.op() {
		case "dir", "dirs", "sysctl", "mark":
			if compareResults(s.Step, s.Result, operations[s.Step.op()](p, s.Step)) != nil {
				t.Logf("step %d is refused: %s", i, asJSON(s.Step))
				return false
			}
		}
	}
	return true
}

// input is a frame that a client or a real server has sent.
type input struct {
	at   time.Time
	link uint8
	data []byte
}

// captures returns what hosts have sent, in the order of time, and what the
// recorded director has sent by each link.
func captures(t *testing.T, name string) (in []input, out [2][][]byte) {
	t.Helper()
	for link, side := range []string{"vip", "dip"} {
		for _, f := range readPcap(t, filepath.Join(oracleDir, "pcaps", setOf(name), name+"."+side+".pcap")) {
			if bytes.Equal(f.data[6:12], linkMACs[link][:]) {
				out[link] = append(out[link], f.data)
			} else {
				f.link = uint8(link)
				in = append(in, f)
			}
		}
	}
	slices.SortStableFunc(in, func(a, b input) int { return a.at.Compare(b.at) })
	return in, out
}

func readPcap(t *testing.T, name string) (out []input) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil || info.CaptureLength != info.Length {
			t.Fatalf("%s: %v, captured %d of %d bytes", name, err, info.CaptureLength, info.Length)
		}
		out = append(out, input{at: info.Timestamp, data: data})
	}
}

// replay lets the director alone work on the frames at their times, and returns
// what it sends by each link.
func replay(n *network, in []input) (out [2][][]byte) {
	start := n.now
	for _, f := range in {
		now := start + f.at.Sub(in[0].at)
		shard := n.director.Shard(0)
		shard.Begin(now)
		shard.Process(&dataplane.Frame{Data: f.data, WireLen: uint32(len(f.data)), Link: f.link}, now)
		shard.End()
		for _, o := range shard.Output() {
			out[o.Link] = append(out[o.Link], slices.Clone(o.Data))
		}
	}
	return out
}

func compareFrames(t *testing.T, side string, want, got [][]byte) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		w, g := frameOr(want, i), frameOr(got, i)
		if !bytes.Equal(normal(w), normal(g)) {
			t.Errorf("%s side, frame %d\nrecorded %s\n%s\nreplayed %s\n%s", side, i, describeOr(w), dump(w), describeOr(g), dump(g))
		}
	}
}

func frameOr(frames [][]byte, i int) []byte {
	if i < len(frames) {
		return frames[i]
	}
	return nil
}

func describeOr(frame []byte) string {
	if frame == nil {
		return "nothing"
	}
	return packettest.Describe(frame)
}

func TestNormal(t *testing.T) {
	h := ipHeader{src: plans["open"].rips[0], dst: plans["open"].client0, proto: protoICMP, ident: 1, ttl: 64}
	frame := func(ident uint32, kind uint8, spoil int) []byte {
		h.ident = ident
		f := append(make([]byte, 14), h.packet(icmpBytes(kind, 0, 7, []byte("data")))...)
		f[spoil] ^= 1
		return f
	}
	const ttl, sum, data = 14 + 8, 14 + 10, 14 + 30
	for _, c := range []struct {
		what string
		a, b []byte
		same bool
	}{
		{"identification of an echo reply", frame(1, 0, 0), frame(2, 0, 0), true},
		{"identification of an echo request", frame(1, 8, 0), frame(2, 8, 0), false},
		{"identification of an error", frame(1, 3, 0), frame(2, 3, 0), false},
		{"TTL of an echo reply", frame(1, 0, 0), frame(2, 0, ttl), false},
		{"header checksum of an echo reply", frame(1, 0, 0), frame(1, 0, sum), false},
		{"content of an echo reply", frame(1, 0, 0), frame(2, 0, data), false},
		{"MAC address of an echo reply", frame(1, 0, 0), frame(2, 0, 5), false},
		{"nothing", frame(1, 0, 0), nil, false},
	} {
		if got := bytes.Equal(normal(c.a), normal(c.b)); got != c.same {
			t.Errorf("%s: frames are equal is %v, want %v", c.what, got, c.same)
		}
	}
}

func dump(b []byte) string { return strings.TrimRight(hex.Dump(b), "\n") }
