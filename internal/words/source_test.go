package words

import (
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	d := newDirector()
	d.odd = true
	socket := d.serve(t)
	run := func(command string) (out, errs string, status int) {
		var o, e strings.Builder
		env := &Env{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Version: "test"}
		status = New(env).Run(t.Context(), append(strings.Fields(command), "--socket", socket))
		return o.String(), e.String(), status
	}
	for _, tt := range []struct {
		command, errs string
		status        int
	}{
		{"source add 10.0.0.240-10.0.0.242 fd00::f0", "", 0},
		{"source delete 10.0.0.241", "", 0},
		{"source delete 10.0.0.99", "natlb: source: 10.0.0.99 is no source address: invalid argument\n", 1},
		{"source add 10.0.0.5/24", "natlb: 10.0.0.5/24 is no network, 10.0.0.0/24 is\nhint: natlb source add 10.0.0.240-10.0.0.243 2001:db8::f0/126\n", 1},
		{"source add", "natlb: source add takes addresses: ADDRESS, ADDRESS-ADDRESS or ADDRESS/BITS\nhint: natlb source add 10.0.0.240-10.0.0.243 2001:db8::f0/126\n", 1},
	} {
		out, errs, status := run(tt.command)
		if errs != tt.errs || status != tt.status || out != "" {
			t.Errorf("natlb %s: %d %q %q, want %d %q", tt.command, status, out, errs, tt.status, tt.errs)
		}
	}
	want := `ADDRESS     CONNECTIONS  
10.0.0.200  12           deleted, until they end
10.0.0.201  0            not in use: an address of this host
10.0.0.240  0            
10.0.0.242  0            
fd00::f0    0            
`
	if out, errs, status := run("source list"); out != want || status != 0 {
		t.Errorf("natlb source list: %d %q\n%s\nwant\n%s", status, errs, out, want)
	}
	if out, _, _ := run("save"); !strings.Contains(out, "\nsource add 10.0.0.201\nsource add 10.0.0.240\nsource add 10.0.0.242\nsource add fd00::f0\n") {
		t.Errorf("natlb save prints\n%s", out)
	}
}
