package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"natlb/internal/ipvsadm"
	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
	"natlb/ipvs"
)

// balance says what of a replay does not add up, or nil. The sum of the verdicts
// is checked by the replay itself. Servers are told apart by their address alone:
// the port of a connection may be that of the service, of the client's wish, or
// an announced one.
func balance(r *Result) error {
	type place struct {
		service ipvs.ServiceKey
		server  netip.Addr
	}
	var errs []error
	made, open, counted := uint64(0), map[place]int32{}, map[place]int32{}
	for _, s := range r.Services {
		made += s.Stats.Conns
		if s.Stats.Conns != sum(s.Servers) {
			errs = append(errs, fmt.Errorf("%v counts %d connections, its servers %d", s.Key, s.Stats.Conns, sum(s.Servers)))
		}
		for _, d := range s.Servers {
			counted[place{s.Key, d.Address.Addr()}] += d.Active + d.Inactive
			open[place{s.Key, d.Address.Addr()}] += 0
		}
	}
	for _, c := range r.Connections {
		if !c.Template && c.Ended == StillOpen {
			open[place{c.Service, c.Dest.Addr()}]++
		}
		if c.Why == ipvs.PickedData {
			made++ // it was announced, no service counts it
		}
	}
	if r.Left > 0 || r.LostEvents > 0 {
		return errors.Join(append(errs, fmt.Errorf("%d connections left out, %d events lost", r.Left, r.LostEvents))...)
	}
	if made != r.Total {
		errs = append(errs, fmt.Errorf("%d connections were made, the table has %d", made, r.Total))
	}
	if !maps.Equal(open, counted) {
		errs = append(errs, fmt.Errorf("open connections are %v, the servers count %v", open, counted))
	}
	return errors.Join(errs...)
}

func sum(servers []ServerShare) (n uint64) {
	for _, d := range servers {
		n += d.Stats.Conns
	}
	return n
}

var (
	anyServices = []string{"-t 192.0.2.10:80", "-t 192.0.2.10:21", "-u 192.0.2.10:53", "-t 192.0.2.10:0", "-f 7", "-u 192.0.2.11:0"}
	anyFlags    = []string{"", "-p", "-p 10", "-p 300 -M 255.255.255.0", "-o", "-b sh-port"}
	anyServers  = []string{"10.20.0.11", "10.20.0.12:80", "10.20.0.12:8080", "10.20.0.13"}
	anyMethods  = []string{"-m", "-m -w 0", "-m -w 5", "-m -x 2 -y 1", "-g", "-m -x 1"}
	anyLines    = []string{"--set 5 5 5", "sysctl net.ipv4.vs.conn_reuse_mode=0", "sysctl net.ipv4.vs.drop_packet=3", "sysctl net.ipv4.vs.drop_entry=3",
		"sysctl net.ipv4.vs.schedule_icmp=1", "sysctl net.ipv4.vs.nat_icmp_send=1", "sysctl net.ipv4.vs.sloppy_tcp=1", "sysctl net.ipv4.vs.secure_tcp=3",
		"sysctl net.ipv4.vs.expire_nodest_conn=1", "mark -A PREROUTING -d 192.0.2.10/32 -p tcp -j MARK --set-mark 7", "mark -A PREROUTING -d 192.0.2.0/24 -j MARK --set-mark 7"}
	schedulers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "lblc", "lblcr", "mh", "fo", "ovf", "twos"}
)

// someRules makes rules of what pick chooses.
func someRules(pick func(n int) int) string {
	var b strings.Builder
	for range pick(3) {
		fmt.Fprintln(&b, anyLines[pick(len(anyLines))])
	}
	for _, i := range distinct(pick, len(anyServices)) {
		scheduler := schedulers[pick(len(schedulers))]
		fmt.Fprintln(&b, "-A", anyServices[i], "-s", scheduler, someFlags(pick, anyServices[i], scheduler))
		for _, j := range distinct(pick, len(anyServers)) {
			fmt.Fprintln(&b, "-a", anyServices[i], "-r", anyServers[j], anyMethods[pick(len(anyMethods))])
		}
	}
	return b.String()
}

// someFlags picks flags that a service with a scheduler may have.
func someFlags(pick func(n int) int, service, scheduler string) string {
	flags := anyFlags[pick(len(anyFlags))]
	switch {
	case strings.HasSuffix(service, ":0") && !strings.HasPrefix(flags, "-p"):
		return "-p 10"
	case strings.HasPrefix(service, "-t") && flags == "-o":
		return ""
	case flags == "-b sh-port" && scheduler != "sh":
		return ""
	}
	return flags
}

// distinct picks some of n.
func distinct(pick func(n int) int, n int) (some []int) {
	for i := range n {
		if pick(2) == 1 {
			some = append(some, i)
		}
	}
	return some
}

// TestRandom replays random packets by random rules: the ledger balances, the
// same comes of it twice, and nothing is sent that a receiver would refuse.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		text := someRules(pick)
		rules, err := ipvsadm.ParseRules(strings.NewReader(text), "rules")
		if err != nil {
			t.Fatal(err)
		}
		s := randomStage(t)
		files := [][]byte{s.file(VIPSide), s.file(DIPSide)}
		maxConns := rapid.SampledFrom([]int{0, 3, 50}).Draw(t, "max conns")
		run := func() (*Result, sent) {
			cfg := Config{Rules: rules, VIPVLAN: AnyVLAN, DIPVLAN: AnyVLAN, FTPPorts: []uint16{21}, MaxConns: maxConns}
			for side, file := range files {
				in, err := NewInput(Side(side).String(), Side(side), bytes.NewReader(file))
				if err != nil {
					t.Fatal(err)
				}
				cfg.Inputs = append(cfg.Inputs, in)
			}
			var out sent
			cfg.Sink = &out
			r, err := Run(context.Background(), cfg)
			if err != nil {
				if strings.Contains(err.Error(), "rules:") {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			return r, out
		}
		r, out := run()
		if err := balance(r); err != nil {
			t.Fatalf("%v\nrules:\n%s", err, text)
		}
		for _, line := range slices.Concat(out.lines[0], out.lines[1]) {
			if before, _, _ := strings.Cut(line, " { "); strings.Contains(before, "BADIPSUM") {
				t.Fatalf("sent: %s", line)
			}
		}
		again, outAgain := run()
		one, _ := r.JSON()
		two, _ := again.JSON()
		if !bytes.Equal(one, two) || !slices.Equal(out.lines[0], outAgain.lines[0]) || !slices.Equal(out.lines[1], outAgain.lines[1]) {
			t.Fatal("two replays of the same differ")
		}
	})
}

// randomStage plays packets from a small world, so that they have to do with
// each other.
func randomStage(t *rapid.T) *stage {
	s := &stage{}
	clients := []string{"198.51.100.1", "198.51.100.2", "192.0.2.10", "10.20.0.12"}
	virtual := []string{"192.0.2.10", "192.0.2.11", "10.20.0.11", "203.0.113.1"}
	servers := []string{"10.20.0.11", "10.20.0.12", "10.20.0.13"}
	ports := []uint16{80, 21, 53, 8080, 20}
	from := func(list []string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(rapid.SampledFrom(list).Draw(t, "address")), port)
	}
	port := func(list []uint16) uint16 { return rapid.SampledFrom(list).Draw(t, "port") }
	for range rapid.IntRange(0, 60).Draw(t, "packets") {
		p := packettest.Packet{
			Proto: rapid.SampledFrom([]uint8{6, 6, 17, 1, 47}).Draw(t, "proto"), TTL: rapid.SampledFrom([]uint8{64, 64, 1}).Draw(t, "ttl"),
			Flags: rapid.SampledFrom([]string{"S", "A", "FA", "R", "SA", "PA", ""}).Draw(t, "flags"), Type: rapid.SampledFrom([]uint8{8, 3, 11}).Draw(t, "type"),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "payload"),
		}
		clientPort := port([]uint16{1000, 1001, 20})
		if rapid.Bool().Draw(t, "of a server") {
			p.Src, p.Dst = from(servers, port(ports)), from(clients, clientPort)
		} else {
			p.Src, p.Dst = from(clients, clientPort), from(virtual, port(ports))
		}
		side := rapid.SampledFrom([]Side{VIPSide, DIPSide}).Draw(t, "side")
		frame := p.Frame()
		if rapid.IntRange(0, 9).Draw(t, "fragment") == 0 {
			for _, piece := range packettest.Fragments(frame, 24) {
				s.put(side, piece)
			}
		} else {
			s.put(side, frame)
		}
		s.wait(rapid.SampledFrom([]time.Duration{0, -time.Second, time.Second, 70 * time.Second, time.Hour}).Draw(t, "pause"))
	}
	return s
}

// FuzzReplay replays whatever a fuzzer makes of the stored captures, by rules that
// it chooses. With mend the header checksums are made right, so that the packets
// get farther than the first look.
func FuzzReplay(f *testing.F) {
	for i, c := range scenes() {
		s := c.perform(f)
		f.Add([]byte{byte(i), 7, 1, 3, 2, 5, 1, 1, 4, 1, 1}, s.file(VIPSide), s.file(DIPSide), i%2 == 0)
		if c.name == "hostile" { // its frames are no packets
			continue
		}
		f.Add([]byte{1, byte(i), 2, 1, 1, 1, 0, 1, 1, byte(i), 1}, packagings[i%len(packagings)].packaged(s, VIPSide, true), s.cut(DIPSide, 60), true)
	}
	f.Fuzz(func(t *testing.T, choices, vip, dip []byte, mend bool) {
		pick := func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := int(choices[0])
			choices = choices[1:]
			return c % n
		}
		rules, err := ipvsadm.ParseRules(strings.NewReader(someRules(pick)), "rules")
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Rules: rules, VIPVLAN: pick(3) - 1, DIPVLAN: AnyVLAN, FTPPorts: []uint16{21}, MaxConns: 64, MTU: []int{0, 1500, 68}[pick(3)], Sink: Sinks{}}
		for side, file := range [][]byte{vip, dip} {
			if mend {
				file = mended(file)
			}
			if in, err := NewInput("fuzz", Side(side), bytes.NewReader(file)); err == nil {
				cfg.Inputs = append(cfg.Inputs, in)
			}
		}
		r, err := Run(t.Context(), cfg)
		var unbalanced *ErrLedger
		switch {
		case errors.As(err, &unbalanced):
			t.Fatal(err)
		case err != nil:
			return // a file that ends in nonsense, rules that are refused
		}
		if err := balance(r); err != nil {
			t.Error(err)
		}
		if err := r.WriteText(io.Discard, 0); err != nil {
			t.Error(err)
		}
	})
}

// mended returns a capture of Ethernet frames with right IPv4 header checksums.
func mended(file []byte) []byte {
	r, err := pcapfile.NewReader(bytes.NewReader(file))
	if err != nil {
		return file
	}
	var b bytes.Buffer
	var w *pcapfile.Writer
	for p := new(pcapfile.Packet); r.Next(p) == nil; {
		if w == nil {
			w = pcapfile.NewWriter(&b, p.LinkType)
		}
		if d := p.Data; p.LinkType == pcapfile.Ethernet && len(d) >= 34 && be.Uint16(d[12:]) == 0x0800 && d[14]&15 >= 5 && len(d) >= 14+int(d[14]&15)*4 {
			packettest.FixIPv4Checksum(d)
		}
		p.Time = min(max(p.Time, 0), 1<<32*1e9-1) // what classic pcap can say
		w.Write(p)
	}
	if w == nil {
		return file
	}
	w.Flush()
	return b.Bytes()
}
