package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"natlb/internal/control"
	"natlb/ipvs"
)

// values compares addresses by ==.
var values = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

func TestParseKernelIPVS(t *testing.T) {
	const text = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C0A800B2:0050 rr persistent 300
  -> C0A83865:1F98      Masq    1      0          0
UDP  C0A800B2:0035 wlc
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 rr
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0050      Masq    1      0          0
TCP  [2001:0db8::zz]:0050 rr
TCP  [10.0.0.1]:0050 rr
TCP  2001:0db8:0000:0000:0000:0000:0000:0001 rr
FWM  00000001 rr
TCP  C0A800B2:xyz rr
TCP  C0A8:0050 rr
TCP
`
	want := []KernelService{
		{ipvs.TCP, netip.MustParseAddrPort("192.168.0.178:80")},
		{ipvs.UDP, netip.MustParseAddrPort("192.168.0.178:53")},
		{ipvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80")},
	}
	if diff := cmp.Diff(want, parseKernelIPVS(text), values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestHostileRules reads rules as the kernel returns them.
func TestHostileRules(t *testing.T) {
	daddr := &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: 1}
	dport := &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: 1}
	is := func(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
	isNot := func(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: data} }
	mask := func(data ...byte) expr.Any {
		return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: data}
	}
	nat := &expr.NAT{Type: expr.NATTypeDestNAT}
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	drop := &expr.Verdict{Kind: expr.VerdictDrop}
	policy := nftables.ChainPolicyDrop

	ip := &nftables.Chain{Name: "pre", Table: &nftables.Table{Name: "nat", Family: nftables.TableFamilyIPv4}, Hooknum: nftables.ChainHookPrerouting}
	ip6 := &nftables.Chain{Name: "pre", Table: &nftables.Table{Name: "nat", Family: nftables.TableFamilyIPv6}, Hooknum: nftables.ChainHookPrerouting}
	both := &nftables.Chain{Name: "pre", Table: &nftables.Table{Name: "nat", Family: nftables.TableFamilyINet}, Hooknum: nftables.ChainHookPrerouting}
	daddr6 := &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16, DestRegister: 1}
	mask6 := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 12)...)}
	netdev := &nftables.Table{Name: "t", Family: nftables.TableFamilyNetdev}
	out := &nftables.Chain{Name: "out", Table: netdev, Hooknum: nftables.ChainHookEgress}
	closed := &nftables.Chain{Name: "out", Table: netdev, Hooknum: nftables.ChainHookEgress, Policy: &policy}
	in := &nftables.Chain{Name: "in", Table: netdev, Hooknum: nftables.ChainHookIngress, Policy: &policy}
	const place = "ip nat pre"
	for _, tt := range []struct {
		name  string
		chain *nftables.Chain
		rule  []expr.Any
		want  []HostRule
	}{
		{"address and port", ip, []expr.Any{daddr, is(192, 168, 0, 178), dport, is(0, 80), nat}, []HostRule{{place, dnat, netip.MustParsePrefix("192.168.0.178/32"), 80}}},
		{"network, masked", ip, []expr.Any{daddr, mask(255, 255, 240, 0), is(192, 168, 0, 0), nat}, []HostRule{{place, dnat, netip.MustParsePrefix("192.168.0.0/20"), 0}}},
		{"network of whole bytes", ip, []expr.Any{&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 3, DestRegister: 1}, is(192, 168, 0), nat},
			[]HostRule{{place, dnat, netip.MustParsePrefix("192.168.0.0/24"), 0}}},
		{"other than", ip, []expr.Any{daddr, isNot(192, 168, 0, 178), nat}, []HostRule{{place, dnat, netip.Prefix{}, 0}}},
		{"source", ip, []expr.Any{&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4, DestRegister: 1}, is(192, 168, 0, 178), nat}, []HostRule{{place, dnat, netip.Prefix{}, 0}}},
		{"source NAT", ip, []expr.Any{daddr, is(192, 168, 0, 178), &expr.NAT{Type: expr.NATTypeSourceNAT}}, nil},
		{"IPv6", ip6, []expr.Any{daddr6, is(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), dport, is(0, 80), nat},
			[]HostRule{{"ip6 nat pre", dnat, netip.MustParsePrefix("2001:db8::1/128"), 80}}},
		{"IPv6, a network", both, []expr.Any{daddr6, mask6, is(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), nat},
			[]HostRule{{"inet nat pre", dnat, netip.MustParsePrefix("2001:db8::/32"), 0}}},
		{"IPv6, not the destination", ip6, []expr.Any{daddr, is(0, 0, 0, 1), nat}, []HostRule{{"ip6 nat pre", dnat, netip.Prefix{}, 0}}},
		{"IPv4 in a table of both", both, []expr.Any{daddr, is(192, 168, 0, 178), nat}, []HostRule{{"inet nat pre", dnat, netip.MustParsePrefix("192.168.0.178/32"), 0}}},
		{"redirect", ip, []expr.Any{dport, is(0, 80), &expr.Redir{}}, []HostRule{{place, redirect, netip.Prefix{}, 80}}},
		{"tproxy", ip, []expr.Any{&expr.TProxy{}}, []HostRule{{place, tproxy, netip.Prefix{}, 0}}},
		{"iptables", ip, []expr.Any{daddr, is(192, 168, 0, 178), &expr.Match{Name: "tcp", Info: &xt.Tcp{DstPorts: [2]uint16{80, 80}}}, &expr.Target{Name: "REDIRECT"}},
			[]HostRule{{place, redirect, netip.MustParsePrefix("192.168.0.178/32"), 80}}},
		{"iptables, several ports", ip, []expr.Any{&expr.Match{Name: "udp", Info: &xt.Udp{DstPorts: [2]uint16{1, 80}}}, &expr.Target{Name: "DNAT"}}, []HostRule{{place, dnat, netip.Prefix{}, 0}}},
		{"iptables, another target", ip, []expr.Any{&expr.Target{Name: "MASQUERADE"}}, nil},
		{"egress rule", out, []expr.Any{drop}, []HostRule{{"netdev t out", egressDrop, netip.Prefix{}, 0}}},
		{"egress, harmless", out, []expr.Any{accept}, nil},
		{"egress policy", closed, []expr.Any{accept}, []HostRule{{"netdev t out", egressDrop, netip.Prefix{}, 0}}},
		{"ingress comes after the tap", in, []expr.Any{drop}, nil},
	} {
		got := hostileRules(tt.chain, []*nftables.Rule{{Exprs: tt.rule}})
		if diff := cmp.Diff(tt.want, got, values); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestStateOf(t *testing.T) {
	for _, tt := range []struct {
		err   error
		there bool
		want  SocketState
	}{
		{ipvs.ErrDirectorNotRunning, true, SocketStale},
		{ipvs.ErrDirectorNotRunning, false, SocketAbsent},
		{ipvs.ErrPermission, true, SocketForbidden},
		{control.ErrSilent, true, SocketSilent},
		{control.ErrProtocol, true, SocketMismatch},
		{errors.New("no such request"), true, SocketMismatch},
	} {
		if got := stateOf(fmt.Errorf("asking: %w", tt.err), tt.there); got != tt.want {
			t.Errorf("stateOf(%v, %v) = %v, want %v", tt.err, tt.there, got, tt.want)
		}
	}
}

// TestServiceTable: a rules file leads to the same services as a director that
// reads it.
func TestServiceTable(t *testing.T) {
	web := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}, Scheduler: "rr"}
	dns := ipvs.Service{Key: ipvs.ServiceKey{Proto: ipvs.UDP, VIP: netip.MustParseAddrPort("192.0.2.1:53")}, Scheduler: "wlc"}
	server := func(addr string, weight int32) ipvs.Destination {
		return ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Weight: weight}
	}
	edited := web
	edited.Scheduler = "lc"
	got := serviceTable([]ipvs.Change{
		{Kind: ipvs.AddService, Service: dns},
		{Kind: ipvs.FlushServices},
		{Kind: ipvs.AddService, Service: web},
		{Kind: ipvs.AddService, Service: dns},
		{Kind: ipvs.AddDestination, Service: web, Destination: server("10.0.0.1:80", 1)},
		{Kind: ipvs.AddDestination, Service: web, Destination: server("10.0.0.2:80", 1)},
		{Kind: ipvs.AddDestination, Service: web, Destination: server("10.0.0.2:80", 9)}, // refused by a director
		{Kind: ipvs.EditDestination, Service: web, Destination: server("10.0.0.1:80", 5)},
		{Kind: ipvs.DeleteDestination, Service: web, Destination: server("10.0.0.2:80", 0)},
		{Kind: ipvs.DeleteDestination, Service: web, Destination: server("10.0.0.3:80", 0)},
		{Kind: ipvs.EditService, Service: edited},
		{Kind: ipvs.DeleteService, Service: dns},
		{Kind: ipvs.DeleteService, Service: dns},
		{Kind: ipvs.SetTimeouts},
	})
	want := []ipvs.ServiceStatus{{Service: edited, Destinations: []ipvs.DestinationStatus{{Destination: server("10.0.0.1:80", 5)}}}}
	if diff := cmp.Diff(want, got, values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWrite(t *testing.T) {
	findings := []Finding{
		{"socket", OK, "/run/natlb.sock", "a director answers", ""},
		{"mtu", Warning, "", "different", "ip link"},
		{"vip", Fault, "192.0.2.1", "taken <twice>", "find it"},
	}
	var text, json strings.Builder
	if err := errors.Join(WriteText(&text, findings), WriteJSON(&json, healthy(), findings[2:])); err != nil {
		t.Fatal(err)
	}
	const wantText = `ok       socket       /run/natlb.sock: a director answers
warning  mtu          different
         cure: ip link
fault    vip          192.0.2.1: taken <twice>
         cure: find it
3 facts, 1 fault, 1 warning
`
	if diff := cmp.Diff(wantText, text.String()); diff != "" {
		t.Errorf("text (-want +got)\n%s", diff)
	}
	const wantJSON = `{
  "schema": 1,
  "natlb": "1.0",
  "director": true,
  "faults": 1,
  "warnings": 0,
  "findings": [
    {
      "check": "vip",
      "level": "fault",
      "subject": "192.0.2.1",
      "text": "taken <twice>",
      "cure": "find it"
    }
  ]
}
`
	if diff := cmp.Diff(wantJSON, json.String()); diff != "" {
		t.Errorf("JSON (-want +got)\n%s", diff)
	}
}
