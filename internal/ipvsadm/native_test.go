package ipvsadm

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"natlb/internal/control"
	"natlb/ipvs"
)

func TestWriteRulesIsReadBack(t *testing.T) {
	const file = `--set 600 60 30
sysctl net.ipv4.vs.conn_reuse_mode=0
mark -A PREROUTING -d 192.0.2.9/32 -p tcp -m multiport --dports 80,443 -m comment --comment "two ports" -j MARK --set-xmark 0x1/0xffffffff
-A -t 192.0.2.1:80 -s wrr -p 300 -M 255.255.255.0
-a -t 192.0.2.1:80 -r 10.0.0.9:8080 -m -w 3 -x 10 -y 5
-a -t 192.0.2.1:80 -r 10.0.0.2:8080 -m -w 1
-A -f 1 -s rr
-a -f 1 -r 10.0.0.2:0 -m -w 1
`
	rules, err := ParseRules(strings.NewReader(file), "rules")
	if err != nil {
		t.Fatal(err)
	}
	state := &control.State{Timeouts: ipvs.DefaultTimeouts}
	for _, c := range rules.Changes {
		applyTo(state, &c)
	}
	var out strings.Builder
	WriteRules(&out, state)
	if diff := cmp.Diff(file, out.String()); diff != "" {
		t.Errorf("rules written after reading them (-read +written):\n%s", diff)
	}
}

// applyTo does to a state what a director would.
func applyTo(s *control.State, c *ipvs.Change) {
	switch c.Kind {
	case ipvs.SetTimeouts:
		s.Timeouts = c.Timeouts
	case ipvs.SetSysctl:
		s.Sysctls = append(s.Sysctls, control.Sysctl{Name: c.Name, Value: c.Value})
	case ipvs.ChangeMarks:
		words := make([]string, len(c.Words))
		for i, w := range c.Words {
			if words[i] = w; strings.Contains(w, " ") {
				words[i] = `"` + w + `"`
			}
		}
		s.Marks = append(s.Marks, strings.Join(words, " "))
	case ipvs.AddService:
		s.Services = append(s.Services, ipvs.ServiceStatus{Service: c.Service})
	case ipvs.AddDestination:
		svc := &s.Services[len(s.Services)-1]
		svc.Destinations = append([]ipvs.DestinationStatus{{Destination: c.Destination}}, svc.Destinations...)
	}
}

func TestNativeRuleFaults(t *testing.T) {
	for line, want := range map[string]string{
		"mark -L":                         "does not belong into rules",
		"mark -A PREROUTING -j DROP":      "DROP",
		"sysctl conn_reuse_mode":          "sysctl takes NAME=VALUE",
		"mark -A PREROUTING -s \"1.2.3.4": "",
	} {
		_, err := ParseRules(strings.NewReader(line), "rules")
		if err == nil || !strings.HasPrefix(err.Error(), "rules:1:") || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRules(%q) = %v, want rules:1 and %q", line, err, want)
		}
	}
	if _, err := ParseRules(strings.NewReader("-A -t "+netip.MustParseAddrPort("192.0.2.1:80").String()), "rules"); err != nil {
		t.Errorf("a plain line after the native ones: %v", err)
	}
}
