package e2e

// FTP through the VIP, in the classroom of the course, with two control ports:
//
//	client-1 ──[ switch ]── vip0  director  dip0 ──[ switch ]── server-1: vsftpd on 21
//	curl            VIP 192.168.0.178:21 and :2121      └────── server-2

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"natlb/internal/lab"
)

// startFTP starts vsftpd in the namespace, serving dir to everybody, for reading
// and writing. It announces its own address and connects from port 20.
func startFTP(t *testing.T, n *lab.Namespace, dir string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "vsftpd.conf")
	text := fmt.Sprintf(`
listen=NO
listen_ipv6=YES
background=NO
run_as_launching_user=YES
one_process_model=YES
seccomp_sandbox=NO
nopriv_user=root
ftp_username=root
secure_chroot_dir=%[1]s
anonymous_enable=YES
no_anon_password=YES
anon_root=%[1]s
allow_writeable_chroot=YES
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
connect_from_port_20=YES
xferlog_enable=NO
`, dir)
	must(t, os.WriteFile(conf, []byte(text), 0o600), os.Chmod(dir, 0o755))
	log := &logBuffer{}
	cmd := exec.Command("vsftpd", conf)
	cmd.Stdout, cmd.Stderr = log, log
	runDaemon(t, n, cmd, log)
	awaitListening(t, n, 21)
}

// ftpModes are the ways to ask for a data connection, with curl's words for them
// and what the listing then shows: the port of the VIP, that of the server.
var ftpModes = []struct {
	name  string
	words []string
	entry string
}{
	{"EPSV", nil, `:[0-9]{4,5} +192\.168\.0\.178:([0-9]{4,5}) +192\.168\.56\.101:([0-9]{4,5})`},
	{"PASV", []string{"--disable-epsv", "--no-ftp-skip-pasv-ip"}, `:[0-9]{4,5} +192\.168\.0\.178:([0-9]{4,5}) +192\.168\.56\.101:([0-9]{4,5})`},
	{"EPRT", []string{"--ftp-port", "-"}, `:[0-9]{4,5} +192\.168\.0\.178:(20) +192\.168\.56\.101:(20)`},
	{"PORT", []string{"--ftp-port", "-", "--disable-eprt"}, `:[0-9]{4,5} +192\.168\.0\.178:(20) +192\.168\.56\.101:(20)`},
}

func TestFTP(t *testing.T) {
	begin(t, "vsftpd", "curl")
	c := newCourse(t, lab.CourseOptions{})
	dir := t.TempDir()
	content := randomBytes(16 * mega) // more than the buffers on its way hold
	must(t, os.WriteFile(filepath.Join(dir, "down"), content, 0o644))
	startFTP(t, c.Servers[0], dir)
	d := courseDirector(t, c)
	d.ctl("-A -t 192.168.0.178:21 -s rr")
	d.ctl("-a -t 192.168.0.178:21 -r " + c.RIPs[0].String() + " -m")
	up := filepath.Join(t.TempDir(), "up")
	must(t, os.WriteFile(up, content, 0o644))

	for _, m := range ftpModes {
		t.Run(m.name, func(t *testing.T) {
			got := slowDownload(t, d, c, "ftp://192.168.0.178/down", m.words, regexp.MustCompile(`TCP +[0-9:]+ +ESTABLISHED +192\.168\.0\.11`+m.entry))
			if !bytes.Equal(got, content) {
				t.Errorf("the file arrived with %d bytes, want the same %d", len(got), len(content))
			}
			target := "up-" + m.name
			curl(t, c.Clients[0], append(m.words, "-T", up, "ftp://192.168.0.178/"+target)...)
			arrived, err := os.ReadFile(filepath.Join(dir, target))
			if err != nil || !bytes.Equal(arrived, content) {
				t.Errorf("the server got %d bytes (%v), want the same %d", len(arrived), err, len(content))
			}
			// One control connection for many data connections.
			curl(t, c.Clients[0], append(m.words, "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null",
				"ftp://192.168.0.178/"+target, "ftp://192.168.0.178/", "ftp://192.168.0.178/down")...)
		})
	}
}

// Over IPv6 there are two ways to ask, and addresses in brackets.
func TestFTPOfIPv6(t *testing.T) {
	begin(t, "vsftpd", "curl")
	for _, shards := range []string{"1", "3"} {
		c := newCourse(t, lab.CourseOptions{IPv6: true, Servers: 1})
		dir := t.TempDir()
		content := randomBytes(8 * mega)
		must(t, os.WriteFile(filepath.Join(dir, "down"), content, 0o644))
		startFTP(t, c.Servers[0], dir)
		d := courseDirector(t, c, "--shards", shards)
		service := netip.AddrPortFrom(lab.VIP6, 21)
		d.ctl(fmt.Sprintf("-A -t %v -s rr", service))
		d.ctl(fmt.Sprintf("-a -t %v -r %v -m", service, netip.AddrPortFrom(c.RIPs6[0], 21)))
		up, url := filepath.Join(t.TempDir(), "up"), fmt.Sprintf("ftp://[%v]/", lab.VIP6)
		must(t, os.WriteFile(up, content, 0o644))
		for _, m := range []struct {
			name  string
			words []string
			port  string // of the data connection, as server and VIP have it
		}{
			{"EPSV", nil, "[0-9]{4,5}"},
			{"EPRT", []string{"--ftp-port", "-"}, "20"},
		} {
			t.Run(m.name+" with "+shards+" shards", func(t *testing.T) {
				entry := regexp.MustCompile(fmt.Sprintf(`TCP +[0-9:]+ +ESTABLISHED +\[%v\]:[0-9]+ +\[%v\]:(%s) +\[%v\]:(%s)`, c.CIPs6[0][0], lab.VIP6, m.port, c.RIPs6[0], m.port))
				if got := slowDownload(t, d, c, url+"down", m.words, entry); !bytes.Equal(got, content) {
					t.Errorf("the file arrived with %d bytes, want the same %d", len(got), len(content))
				}
				target := "up-" + m.name
				curl(t, c.Clients[0], append(m.words, "-T", up, url+target)...)
				if arrived, err := os.ReadFile(filepath.Join(dir, target)); err != nil || !bytes.Equal(arrived, content) {
					t.Errorf("the server got %d bytes (%v), want the same %d", len(arrived), err, len(content))
				}
			})
		}
	}
}

// slowDownload fetches the file so slowly that its data connection can be looked
// at in the listing, which is to show it as entry. The listing's ports are the
// same on both sides.
func slowDownload(t *testing.T, d *director, c *lab.Course, url string, words []string, entry *regexp.Regexp) []byte {
	t.Helper()
	var out, complaint bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- startCurl(c.Clients[0], &out, &complaint, append(words, "--limit-rate", "12M", url)...)
	}()
	listing := ""
	var found []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last listing:\n%s", listing)
		}
	})
	await(t, "the data connection is listed", 5*time.Second, func() bool {
		listing = d.ctl("-L -n -c")
		for _, m := range entry.FindAllStringSubmatch(listing, -1) {
			if m[1] != "21" {
				found = m
			}
		}
		return found != nil
	})
	if found[1] != found[2] {
		t.Errorf("the data connection goes from port %s to port %s, want the same:\n%s", found[1], found[2], listing)
	}
	if err := <-ended; err != nil {
		t.Fatalf("curl: %v: %s\n%s", err, complaint.Bytes(), listing)
	}
	return out.Bytes()
}

// The helper is on for the ports that are named, and only for those.
func TestFTPPorts(t *testing.T) {
	begin(t, "vsftpd", "curl")
	for _, tt := range []struct {
		args []string
		port string
		want bool
	}{
		{nil, "2121", false},
		{[]string{"--ftp-ports", "21,2121"}, "2121", true},
		{[]string{"--ftp-ports", "2121"}, "21", false},
		{[]string{"--no-ftp"}, "21", false},
	} {
		t.Run(fmt.Sprint(tt.args, tt.port), func(t *testing.T) {
			c := newCourse(t, lab.CourseOptions{})
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "down"), []byte("here it is\n"), 0o644))
			startFTP(t, c.Servers[0], dir)
			d := courseDirector(t, c, tt.args...)
			d.ctl("-A -t 192.168.0.178:" + tt.port + " -s rr")
			d.ctl("-a -t 192.168.0.178:" + tt.port + " -r " + c.RIPs[0].String() + ":21 -m")
			var out, complaint bytes.Buffer
			err := startCurl(c.Clients[0], &out, &complaint, "--connect-timeout", "5", "ftp://192.168.0.178:"+tt.port+"/down")
			if got := err == nil && out.String() == "here it is\n"; got != tt.want {
				t.Errorf("curl = %q, %v (%s), want success %v", out.Bytes(), err, complaint.Bytes(), tt.want)
			}
		})
	}
	c := newCourse(t, lab.CourseOptions{})
	refused(t, c.Director, "--ftp-ports", "--vip-if", c.ClientSide, "--dip-if", c.ServerSide, "--ftp-ports", "0")
	refused(t, c.Director, "--ftp-ports", "--vip-if", c.ClientSide, "--dip-if", c.ServerSide, "--ftp-ports", "1,2,3,4,5,6,7,8,9")
}
