package sched

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"natlb/ipvs"
)

// recording is one scenario that a real IPVS played (tools/oracle), as far as its
// schedulers matter.
type recording struct {
	Name  string
	Sport int
	Steps []struct {
		Step struct {
			Op, Args, Mode, Proto string
			Cmds                  []string
			N                     int
			Dst, Src              texts
		}
		Result struct{ Picks []string }
	}
}

// texts are one text or several.
type texts []string

func (l *texts) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*l = make(texts, 1)
		return json.Unmarshal(b, &(*l)[0])
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// TestRecordedPicksOfIPv6 plays what a real director picked by the addresses of
// IPv6 clients and VIPs, with sh, dh, mh, lblc and lblcr.
func TestRecordedPicksOfIPv6(t *testing.T) {
	var files []string
	for _, glob := range []string{"o6-hash-*", "o6-dh-*", "o6-fwm-*"} {
		found, err := filepath.Glob("../tools/oracle/records/open/" + glob + ".json")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	played := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(r.Name, func(t *testing.T) { r.play(t, played) })
	}
	for _, name := range []string{"sh", "dh", "mh", "lblc", "lblcr"} {
		if played[name] < 90 {
			t.Errorf("%d picks of %s were played", played[name], name)
		}
	}
}

// recordedService is a service of a recording.
type recordedService struct {
	*world
	name string
}

func (r *recording) play(t *testing.T, played map[string]int) {
	services := map[string]*recordedService{} // by what its lines say behind -A, -a, ...
	sport := max(r.Sport, 20000)
	var now time.Duration
	for _, s := range r.Steps {
		for _, line := range append(s.Step.Cmds, s.Step.Args) {
			if line != "" && s.Step.Op != "show" {
				command(t, services, strings.Fields(line))
			}
		}
		for i, want := range s.Result.Picks {
			now += time.Millisecond
			sport++
			dst := netip.MustParseAddrPort(s.Step.Dst[i%len(s.Step.Dst)])
			f := Flow{CIP: netip.IPv6Loopback(), CPort: uint16(sport), VIP: dst.Addr(), VPort: dst.Port(), Proto: ipvs.TCP}
			if n := len(s.Step.Src); n > 0 {
				f.CIP = netip.MustParseAddr(s.Step.Src[i%n])
			}
			of := "-t " + dst.String()
			if s.Step.Proto == "udp" {
				of, f.Proto = "-u "+dst.String(), ipvs.UDP
			}
			svc := services[of]
			if svc == nil {
				svc = services["-f 7 -6"]
			}
			played[svc.name]++
			picked, got := svc.Schedule(&f, now), "ECONNREFUSED"
			if picked != nil {
				// Real servers are ::11, ::12, ... and answer rs1, rs2, ...
				got = "rs" + string(picked.Addr.Addr().String()[len("fd20:0:0:1::1"):])
				picked.BindInactive()
				if s.Step.Mode == "H" { // held open
					picked.Activate()
				}
			}
			if got != want {
				t.Errorf("pick %d, %v:%d to %v: %s, recorded %s", i, f.CIP, f.CPort, dst, got, want)
			}
		}
	}
}

// command carries out one line of ipvsadm.
func command(t *testing.T, services map[string]*recordedService, words []string) {
	t.Helper()
	value := func(option string) string {
		if i := slices.Index(words, option); i >= 0 {
			return words[i+1]
		}
		return ""
	}
	of := strings.Join(words[1:3], " ")
	if words[1] == "-f" {
		of = strings.Join(words[1:4], " ")
	}
	if words[0] == "-A" {
		var flags ipvs.ServiceFlags
		switch _, what, _ := strings.Cut(value("-b"), "-"); what {
		case "fallback":
			flags = ipvs.FlagSched1
		case "port":
			flags = ipvs.FlagSched2
		}
		services[of] = &recordedService{newWorld(t, value("-s"), flags), value("-s")}
		return
	}
	rip, err := netip.ParseAddrPort(value("-r"))
	if err != nil {
		rip = netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(value("-r"), "[]")), 0)
	}
	svc := services[of]
	known := slices.IndexFunc(svc.servers, func(s *ipvs.RealServer) bool { return s.Addr == rip })
	weight, _ := strconv.Atoi(value("-w"))
	switch words[0] {
	case "-a":
		svc.ids++
		svc.enter(ipvs.NewRealServer(svc.ids, &ipvs.Destination{Addr: rip, Weight: int32(weight)}))
	case "-e":
		svc.edit(svc.servers[known], int32(weight))
	case "-d":
		svc.remove(svc.servers[known])
	default:
		t.Fatalf("unknown command %v", words)
	}
}
