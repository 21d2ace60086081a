package ftp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPassive(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Mode
	}{
		{"PASV\r\n", PASV},
		{"pasv\n", PASV},
		{"NOOP\r\nPasV\r\n", PASV},
		{"PASV", None},
		{"PASV x\r\n", None},
		{"PAS\r\n", None},
		{"", None},
		{"EPSV\r\n", EPSV},
		{"epsv 1\r\n", EPSV},
		{"NOOP\r\nEPSV\r\n", EPSV},
		{"EPSV 2\r\n", None},
		{"EPSV 11\r\n", None},
		{"EPSV ALL\r\n", None},
		{"EPSV 1", None},
		{"EPSV ", None},
		{"EPSV 2\r\nPASV\r\n", PASV},
		{"EPSV\r\nPASV\r\n", EPSV},
	} {
		if got := Passive([]byte(tt.in), false); got != tt.want {
			t.Errorf("Passive(%q) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestActive(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"PORT 203,0,113,9,15,160\r\n", "203.0.113.9:4000"},
		{"port  203,0,113,9,0,1\nLIST\r\n", "203.0.113.9:1"},
		{"EPRT |1|203.0.113.9|4000|\r\n", "203.0.113.9:4000"},
		{"eprt !1!203.0.113.9!65535!\r\n", "203.0.113.9:65535"},
		{"PORT 203,0,113,9,15,160", ""}, // the rest may be 1600
		{"PORT 203,0,113,9,15,16x\r\n", ""},
		{"PORT 203,0,113,256,15,160\r\n", ""},
		{"PORT 203,0,113,9,15\r\n", ""},
		{"PORT 203,0,113,9,15,\r\n", ""},
		{"PORT 203.0.113.9,15,160\r\n", ""},
		{"PORT 203,0,113,9,0,0\r\n", ""},
		{"PORT 99999999999999999999,0,0,9,0,1\r\n", ""},
		{"PORT\r\n", ""},
		{" PORT 203,0,113,9,15,160\r\n", ""},
		{"NOOP\r\nPORT 203,0,113,9,15,160\r\n", ""},
		{"EPRT |2|2001:db8::1|4000|\r\n", "[2001:db8::1]:4000"},
		{"EPRT |2|2001:db8::1%eth0|4000|\r\n", ""},
		{"EPRT |2|::ffff:1.2.3.4|4000|\r\n", ""},
		{"EPRT |2|203.0.113.9|4000|\r\n", ""},
		{"EPRT |2|2001:db8::1|0|\r\n", ""},
		{"EPRT |3|2001:db8::1|4000|\r\n", ""},
		{"EPRT |1|203.0.113.9|65536|\r\n", ""},
		{"EPRT |1|203.0.113.9|4000\r\n", ""},
		{"EPRT |1!203.0.113.9|4000|\r\n", ""},
		{"EPRT 11203.0.113.914000\r\n", ""},
		{"EPRT .1.203.0.113.9.4000.\r\n", ""},
		{"EPRT |1|203.0.113.9|4000|", ""},
		{"EPRT ", ""},
	} {
		got, ok := Active([]byte(tt.in))
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("Active(%q) = %v, %v, want %q", tt.in, got, ok, tt.want)
		}
	}
}

func TestParseReply(t *testing.T) {
	for _, tt := range []struct {
		in           string
		mode         Mode
		server, text string
	}{
		{"227 Entering Passive Mode (10,20,0,11,117,49).\r\n", PASV, "10.20.0.11:30001", "10,20,0,11,117,49"},
		{"227 Entering Passive Mode (010,20,0,011,117,49)\r\n", PASV, "10.20.0.11:30001", "010,20,0,011,117,49"},
		{"227 =10,20,0,11,117,49\r\n", PASV, "10.20.0.11:30001", "10,20,0,11,117,49"},
		{"227 10,20,0,11,117,49\n", PASV, "10.20.0.11:30001", "10,20,0,11,117,49"},
		{"227 Mode 2 of 3 (10,20,0,11,117,49)\r\n150 x\r\n", PASV, "10.20.0.11:30001", "10,20,0,11,117,49"},
		{"229 Entering Extended Passive Mode (|||30001|)\r\n", EPSV, "invalid AddrPort", "|||30001|"},
		{"229 Extended (!!!30001!)\r\n", EPSV, "invalid AddrPort", "!!!30001!"},
		{"227 Entering Passive Mode (10,20,0,11,117,49)", None, "", ""},
		{"227 Entering Passive Mode (10,20,0,11,117,4", None, "", ""},
		{"227 Entering Passive Mode (10,20,0,11,117)\r\n1,1,1,1,1,1\r\n", None, "", ""},
		{"227 Entering Passive Mode (1010,20,0,11,117,49)\r\n", None, "", ""},
		{"227 Entering Passive Mode (10,20,0,11,0,0)\r\n", None, "", ""},
		{"227-Entering Passive Mode (10,20,0,11,117,49)\r\n", None, "", ""},
		{"200 ok\r\n227 Entering Passive Mode (10,20,0,11,117,49)\r\n", None, "", ""},
		{"229 Entering Extended Passive Mode (|||0|)\r\n", None, "", ""},
		{"229 Entering Extended Passive Mode (||||)\r\n", None, "", ""},
		{"229 Entering Extended Passive Mode (|||30001)\r\n", None, "", ""},
		{"229 Entering Extended Passive Mode (|||70000|)\r\n", None, "", ""},
		{"229 |||30001|", None, "", ""},
		{"227 ", None, "", ""},
		{"22", None, "", ""},
	} {
		r, ok := ParseReply([]byte(tt.in))
		if ok != (tt.mode != None) {
			t.Errorf("ParseReply(%q) = %+v, %v", tt.in, r, ok)
			continue
		}
		if !ok {
			continue
		}
		port := uint16(30001)
		if r.Mode != tt.mode || tt.mode == PASV && r.Server.String() != tt.server || r.Server.Port() != port || tt.in[r.From:r.To] != tt.text {
			t.Errorf("ParseReply(%q) = %+v (%q), want mode %d, %s, text %q", tt.in, r, tt.in[r.From:r.To], tt.mode, tt.server, tt.text)
		}
	}
}

// What is written is read again as the same, wherever it stands.
func TestEndpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ip [4]byte
		for i := range ip {
			ip[i] = rapid.Byte().Draw(t, "byte")
		}
		e := netip.AddrPortFrom(netip.AddrFrom4(ip), rapid.Uint16Min(1).Draw(t, "port"))
		text := string(AppendEndpoint(nil, e))
		if want := strings.ReplaceAll(fmt.Sprintf("%v,%d,%d", e.Addr(), e.Port()>>8, e.Port()&255), ".", ","); text != want || len(text) > EndpointLen {
			t.Fatalf("AppendEndpoint(%v) = %q, want %q of at most %d bytes", e, text, want, EndpointLen)
		}
		if got, ok := Active([]byte("PORT " + text + "\r\n")); !ok || got != e {
			t.Fatalf("Active(PORT %s) = %v, %v, want %v", text, got, ok, e)
		}
		if got, ok := Active(fmt.Appendf(nil, "EPRT |1|%v|%d|\r\n", e.Addr(), e.Port())); !ok || got != e {
			t.Fatalf("Active(EPRT %v) = %v, %v", e, got, ok)
		}
		if got, ok := ParseReply([]byte("227 Passive (" + text + ")\r\n")); !ok || got.Server != e {
			t.Fatalf("ParseReply(%s) = %v, %v, want %v", text, got, ok, e)
		}
	})
}

// No line makes the readers panic, a place that they name is in the segment,
// and reading takes no more than its bytes: a line that was cut off is not read.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{
		"PORT 203,0,113,9,15,160\r\n", "EPRT |1|203.0.113.9|4000|\r\n", "EPSV 1\r\n", "xxPASV\r\n",
		"227 Entering Passive Mode (10,20,0,11,117,49).\r\n", "229 Entering Extended Passive Mode (|||30001|)\r\n", "227 1,2,3,4,5,6,7,8\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, segment []byte) {
		Passive(segment, false)
		Passive(segment, true)
		if client, ok := Active(segment); ok && (!client.Addr().Is4() || client.Port() == 0) {
			t.Errorf("Active(%q) = %v", segment, client)
		}
		r, ok := ParseReply(segment)
		if !ok {
			return
		}
		if r.From < 4 || r.From >= r.To || r.To >= len(segment) || r.Server.Port() == 0 || r.Mode == PASV != r.Server.Addr().Is4() {
			t.Fatalf("ParseReply(%q) = %+v", segment, r)
		}
		if cut, ok := ParseReply(segment[:r.To]); ok {
			t.Errorf("ParseReply(%q) = %+v without the line's end", segment[:r.To], cut)
		}
		if r.Mode == PASV {
			text := AppendEndpoint(append([]byte{}, segment[:r.From]...), r.Server)
			again, ok := ParseReply(append(text, segment[r.To:]...))
			if !ok || again.Server != r.Server {
				t.Errorf("ParseReply(%q with %v written anew) = %+v, %v", segment, r.Server, again, ok)
			}
		}
	})
}
