package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"natlb/ipvs"
)

// TestCensus: the director counts what a client would have to list.
func TestCensus(t *testing.T) {
	conn := func(proto ipvs.Protocol, state, client, server string) ipvs.ConnStatus {
		return ipvs.ConnStatus{Proto: proto, State: state, Client: netip.MustParseAddrPort(client), Dest: netip.MustParseAddrPort(server)}
	}
	template := conn(ipvs.TCP, "NONE", "10.0.0.9:0", "10.0.0.2:80")
	template.Template = true
	d := &fakeDirector{list: []ipvs.ConnStatus{
		conn(ipvs.TCP, "ESTABLISHED", "10.0.0.9:1", "10.0.0.2:80"),
		conn(ipvs.TCP, "SYN_RECV", "192.0.2.9:1", "10.0.0.2:80"),
		conn(ipvs.TCP, "SYN_RECV", "10.0.0.8:1", "10.0.0.2:80"),
		conn(ipvs.UDP, "UDP", "192.0.2.9:1", "10.0.0.2:80"),
		conn(ipvs.TCP, "FIN_WAIT", "192.0.2.9:1", "10.0.0.1:80"),
		template,
	}}
	client, _ := start(t, d, nil)
	got, err := client.Census(t.Context(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddrPort("10.0.0.2:80")
	want := []Census{
		{Proto: ipvs.TCP, Server: netip.MustParseAddrPort("10.0.0.1:80"), Conns: 1},
		{Proto: ipvs.TCP, Server: server, Conns: 3, HalfOpen: 2, Near: 2, NearHalfOpen: 1, NearClient: netip.MustParseAddr("10.0.0.8")},
		{Proto: ipvs.UDP, Server: server, Conns: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})); diff != "" {
		t.Errorf("Census (-want +got)\n%s", diff)
	}
	if _, err := client.Census(t.Context(), make([]netip.Prefix, 1)); err == nil || !strings.Contains(err.Error(), "ParsePrefix") {
		t.Errorf("Census of a network that is none: %v", err)
	}
	if _, err := client.Census(t.Context(), make([]netip.Prefix, MaxNear+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("Census of too many networks: %v", err)
	}
}
