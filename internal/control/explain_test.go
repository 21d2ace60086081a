package control

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"natlb/ipvs"
)

// Explain shows what it was asked as what would be sent, so that a test sees how
// the question has come over.
func (f *fakeDirector) Explain(q ipvs.Question) (*ipvs.Explanation, error) {
	if q.Virtual.Port() == 1 {
		return nil, ipvs.ErrUnsupported
	}
	server := netip.MustParseAddrPort("10.0.0.2:80")
	return &ipvs.Explanation{
		Verdict: "forward", Server: &server, Service: &ipvs.ExplainedService{Scheduler: "rr", Mark: 5},
		Received: ipvs.Packet{Src: q.Client, Dst: q.Virtual, Flags: q.Flags.String(), Link: q.Link},
		Pick:     &ipvs.ExplainedPick{Scheduler: "rr", Candidates: []ipvs.ExplainedCandidate{{Address: server, Load: 1 << 60, Per: 3}}},
	}, nil
}

// TestQuestionRoundTrip: what is asked is what the director hears.
func TestQuestionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := ipvs.Question{
			Proto: drawProto(t), Client: drawAddrPort(t, "client"), Flags: ipvs.TCPFlags(rapid.Uint8().Draw(t, "flags")),
			Link: rapid.SampledFrom([]string{"", "eth0", "a&b=c"}).Draw(t, "link"),
		}
		if rapid.Bool().Draw(t, "reply") {
			q.Server = drawAddrPort(t, "server")
		} else {
			q.Virtual = drawAddrPort(t, "virtual")
		}
		if rapid.Bool().Draw(t, "chunk") {
			chunk := ipvs.Chunk(rapid.Uint8().Draw(t, "type"))
			q.Chunk = &chunk
		}
		if rapid.Bool().Draw(t, "marked") {
			mark := rapid.Uint32().Draw(t, "mark")
			q.Mark = &mark
		}
		got, err := questionOf(valuesOf(&q))
		if diff := cmp.Diff(q, got, byValue); err != nil || diff != "" {
			t.Fatalf("%v: %v (-want +got)\n%s", valuesOf(&q), err, diff)
		}
	})
}

func TestExplain(t *testing.T) {
	d := &fakeDirector{}
	client, path := start(t, d, nil)
	q := ipvs.Question{
		Proto: ipvs.TCP, Client: netip.MustParseAddrPort("10.0.0.9:4000"), Virtual: netip.MustParseAddrPort("192.0.2.1:80"),
		Flags: 0x12, Link: "eth0",
	}
	want, err := d.Explain(q)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Explain(t.Context(), q)
	if diff := cmp.Diff(want, got, byValue); err != nil || diff != "" {
		t.Errorf("Explain = %v (-want +got)\n%s", err, diff)
	}
	q.Virtual = netip.MustParseAddrPort("192.0.2.1:1")
	if _, err := client.Explain(t.Context(), q); !errors.Is(err, ipvs.ErrUnsupported) {
		t.Errorf("a refusal comes over as %v", err)
	}
	web := Dial(path)
	defer web.Close()
	for query, want := range map[string]string{
		"protocol=tcp&client=10.0.0.9&virtual=192.0.2.1:80":            `"src":"10.0.0.9:0"`,
		"protocol=tcp&client=10.0.0.9&virtual=192.0.2.1:80&colour=red": `not \"colour\"`,
		"protocol=tcp&client=10.0.0.9&client=10.0.0.8":                 `not \"client\"`,
		"protocol=icmp":     `protocol \"icmp\"`,
		"tcp_flags=SYN,FOO": `FOO`,
		"sctp_chunk=FOO":    `FOO`,
		"client=10.0.0":     `client \"10.0.0\"`,
		"mark=4294967296":   `mark`,
		"protocol=tcp&client=10.0.0.9:1&virtual=192.0.2.1:80&server=192.0.2.1:80":     `not both`,
		"protocol=tcp&client=10.0.0.9:1&server=192.0.2.1:80&mark=0x10&tcp_flags=none": `none`,
	} {
		response, err := web.http.Get("http://natlb/v1/explain?" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		good := strings.HasPrefix(want, `"src"`)
		if err != nil || good != (response.StatusCode == http.StatusOK) || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s, want %s", query, response.Status, body, want)
		}
	}
}
