package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"natlb/internal/lab"
)

// startNginx starts nginx in the namespace, as root because a user namespace of
// an ordinary user knows nobody else. It answers text at /, serves the files of
// dir under /files/ and stores uploads there.
func startNginx(t *testing.T, n *lab.Namespace, port int, dir, text string) {
	t.Helper()
	home := t.TempDir()
	conf := fmt.Sprintf(`
daemon off; master_process off; user root root; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0;
  client_body_temp_path %[2]s/body; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    %[5]slisten %[3]d;
    location = / { default_type text/plain; return 200 "%[4]s\n"; }
    location /files/ { alias %[2]s/; dav_methods PUT; }
  }
}`, home, dir, port, text, listen6(port))
	path := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd := exec.Command("nginx", "-p", home, "-e", "stderr", "-c", path)
	cmd.Stdout, cmd.Stderr = log, log
	runDaemon(t, n, cmd, log)
	awaitListening(t, n, port)
}

// listen6 is the line of the configuration for IPv6, where the kernel has that.
func listen6(port int) string {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return ""
	}
	return fmt.Sprintf("listen [::]:%d; ", port)
}

// runDaemon runs a program until the test ends.
func runDaemon(t *testing.T, n *lab.Namespace, cmd *exec.Cmd, log *logBuffer) {
	t.Helper()
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		// It is told to end by a signal; how it takes that is its own business.
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s in %s said:\n%s", cmd.Path, n.Name(), log)
		}
	})
}

// awaitListening waits until something listens on the TCP port. It looks into
// the kernel's list: a connection made to find out would be a connection more.
func awaitListening(t *testing.T, n *lab.Namespace, port int) {
	t.Helper()
	// local address, port in hex, remote address, state: "00000000:0050 00000000:0000 0A"
	v4, v6 := fmt.Appendf(nil, ":%04X 00000000:0000 0A", port), fmt.Appendf(nil, ":%04X 00000000000000000000000000000000:0000 0A", port)
	await(t, fmt.Sprintf("%s listens on port %d", n.Name(), port), 10*time.Second, func() bool {
		list, err := tcpSockets(n)
		return err == nil && (bytes.Contains(list, v4) || bytes.Contains(list, v6))
	})
}

// tcpSockets returns the kernel's lists of the namespace's TCP sockets, of both families.
func tcpSockets(n *lab.Namespace) (list []byte, err error) {
	err = n.Do(func() error {
		for _, name := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + name)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			list = append(list, text...)
		}
		return nil
	})
	return list, err
}

// curl runs curl in the namespace and returns what it prints; it has to succeed.
func curl(t *testing.T, n *lab.Namespace, args ...string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	if err := startCurl(n, &out, &complaint, args...); err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, complaint.Bytes())
	}
	return out.String()
}

// startCurl runs curl to its end, its output going to out.
func startCurl(n *lab.Namespace, out, complaint io.Writer, args ...string) error {
	cmd := exec.Command("curl", append([]string{"-q", "-sS", "--fail", "--max-time", "60"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, complaint
	return n.Run(cmd)
}
