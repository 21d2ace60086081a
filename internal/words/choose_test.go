package words

import (
	"net/netip"
	"testing"

	"natlb/ipvs"
)

// TestServiceFlags: a service is named as ipvsadm does it, or in one text, and
// never twice.
func TestServiceFlags(t *testing.T) {
	vip := netip.MustParseAddrPort("192.0.2.1:80")
	for _, tt := range []struct {
		options [4]string
		text    string
		want    ipvs.ServiceKey // zero: an error
	}{
		{[4]string{0: "192.0.2.1:80"}, "", ipvs.ServiceKey{Proto: ipvs.TCP, VIP: vip}},
		{[4]string{1: "192.0.2.1:80"}, "", ipvs.ServiceKey{Proto: ipvs.UDP, VIP: vip}},
		{[4]string{2: "7"}, "", ipvs.ServiceKey{Mark: 7}},
		{[4]string{3: "192.0.2.1:80"}, "", ipvs.ServiceKey{Proto: ipvs.SCTP, VIP: vip}},
		{[4]string{}, "tcp 192.0.2.1:80", ipvs.ServiceKey{Proto: ipvs.TCP, VIP: vip}},
		{[4]string{}, " SCTP  192.0.2.1:80", ipvs.ServiceKey{Proto: ipvs.SCTP, VIP: vip}},
		{[4]string{}, "--sctp-service 192.0.2.1:80", ipvs.ServiceKey{Proto: ipvs.SCTP, VIP: vip}},
		{[4]string{}, "-f 7", ipvs.ServiceKey{Mark: 7}},
		{[4]string{2: "7"}, "-6", ipvs.ServiceKey{Mark: 7, V6: true}},
		{[4]string{}, "fwm 7 -6", ipvs.ServiceKey{Mark: 7, V6: true}},
		{[4]string{0: "192.0.2.1:80"}, "-6", ipvs.ServiceKey{}},
		{[4]string{}, "tcp 192.0.2.1:80 -6", ipvs.ServiceKey{}},
		{[4]string{}, "-6", ipvs.ServiceKey{}},
		{[4]string{}, "icmp 192.0.2.1:80", ipvs.ServiceKey{}},
		{[4]string{3: "192.0.2.1:80"}, "sctp 192.0.2.1:80", ipvs.ServiceKey{}},
		{[4]string{0: "192.0.2.1:80", 3: "192.0.2.1:80"}, "", ipvs.ServiceKey{}},
	} {
		f := serviceFlags{options: tt.options, text: tt.text}
		if tt.text == "-6" {
			f.ipv6, f.text = true, ""
		}
		got, _, err := f.target(t.Context(), "")
		if got != tt.want || (err != nil) != (tt.want == ipvs.ServiceKey{}) || !f.given() {
			t.Errorf("%q and %q name %v, %v, want %v", tt.options, tt.text, got, err, tt.want)
		}
	}
}
