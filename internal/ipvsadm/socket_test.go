package ipvsadm

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"natlb/internal/control"
	"natlb/ipvs"
)

// director is a fakeDirector as a control server wants it.
type director struct{ *fakeDirector }

func (d director) Apply(changes []ipvs.Change) error {
	return d.fakeDirector.Apply(context.Background(), changes)
}

func (d director) Snapshot() ipvs.Snapshot { return ipvs.Snapshot{Services: d.Services()} }

func (d director) Follow(bool) {}

func (d director) Check([]ipvs.Change) []*ipvs.ChangeError { return nil }

func (d director) Services() []ipvs.ServiceStatus {
	services, _ := d.fakeDirector.Services(context.Background())
	return services
}

func (d director) Connections(yield func(ipvs.ConnStatus) bool) {
	_ = d.fakeDirector.Connections(context.Background(), yield)
}

func (d director) Timeouts() ipvs.Timeouts     { return d.timeouts }
func (d director) TableSize() int              { return 4096 }
func (d director) Counters() []control.Counter { return nil }
func (d director) Ledger() control.Ledger      { return control.Ledger{} }
func (d director) Sysctls() []control.Sysctl   { return nil }

func (d director) Sources() []ipvs.SourceStatus { return nil }

func (d director) Setup() control.Setup { return control.Setup{} }

func (director) Capture(control.Capture) (control.CaptureFeed, error) {
	return nil, ipvs.ErrUnsupported
}

func (d director) Explain(ipvs.Question) (*ipvs.Explanation, error) { return nil, ipvs.ErrInvalid }

func (d director) Marks([]string) (string, error) { return "", nil }

// TestOverTheSocket types command lines against a real server: the words that
// cross the wire are still ipvsadm's, and what natlb lacks is refused in one
// line.
func TestOverTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "natlb.sock")
	client := control.Dial(path)
	defer client.Close()
	absent := "natlb: no director is running (looked for " + path + "); start one with: natlb run --vip-if IF --dip-if IF"
	if got := typeLine(client, "-Ln", ""); got.RC != 2 || strings.Join(got.Err, "\n") != absent {
		t.Errorf("-Ln without a director = %+v, want %s", got, absent)
	}

	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	fake := listingDirector()
	server := control.NewServer(director{fake}, "v0.0.0-test", slog.New(slog.DiscardHandler))
	go server.Serve(l)
	defer server.Shutdown(context.Background())
	for _, c := range []struct {
		args string
		rc   int
		err  string
	}{
		{"-A -t 192.0.2.1:80 -s rr", 0, ""},
		{"-A -t 192.0.2.1:80 -s rr", 255, "Service already exists"},
		{"-A -t 192.0.2.2:80 -s nosuch", 255, "Scheduler or persistence engine not found"},
		{"-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 3", 0, ""},
		{"-a -t 192.0.2.1:80 -r 10.0.0.3 -g", 0, ""},
		{"-a -t 192.0.2.1:80 -r 10.0.0.4 -i", 0, ""},
		{"-a -t 192.0.2.1:80 -r 224.0.0.1 -m", 255, "Invalid operation.  Possibly wrong module version, address not unicast, ..."},
		{"-a -t 192.0.2.1:80 -r 10.0.0.5 -m -y 1", 255, "Numerical result out of range"},
		{"-d -t 192.0.2.9:80 -r 10.0.0.5", 255, "Service not defined"},
		{"-d -t 192.0.2.1:80 -r 10.0.0.5", 255, "No such destination"},
		{"-A -t 192.0.2.3:80 -p", 0, ""},
		{"-A -u 192.0.2.3:80 -o", 0, ""},
		{"-A -f 1", 0, ""},
		{"-A -f 1 -6", 0, ""},
		{"-A -t 192.0.2.3:80 --pe sip", 255, "persistence engines (--pe): not supported by this version of natlb"},
		{"-A --sctp-service 192.0.2.3:80", 0, ""},
		{"-A -t [2001:db8::1]:80", 0, ""},
		{"-Z", 0, ""},
		{"--set 1 2 3", 0, ""},
	} {
		got := typeLine(client, c.args, "")
		if text := strings.Join(got.Err, "\n"); got.RC != c.rc || text != c.err {
			t.Errorf("ipvsadm %s = %d, %q, want %d, %q", c.args, got.RC, text, c.rc, c.err)
		}
	}
	for _, args := range []string{"-Ln --stats", "-Ln --rate --exact", "-Ln --tun-info", "-Ln --thresholds", "-Lnc --persistent-conn", "-Sn", "-L --timeout"} {
		near, far := typeLine(fake, args, ""), typeLine(client, args, "")
		if !same(near, far) {
			t.Errorf("ipvsadm %s over the socket = %+v, want %+v", args, far, near)
		}
	}
}
