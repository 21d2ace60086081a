package ipvsadm

import (
	"path/filepath"
	"strings"
)

// versionLine names what is compatible first under ipvsadm's own name, because
// scripts look for "ipvsadm v1.31".
func versionLine(env *Env) string {
	version := "natlb v" + strings.TrimPrefix(env.Version, "v")
	if filepath.Base(env.Prog) == "ipvsadm" {
		return "ipvsadm v1.31 compatible, " + version + "\n"
	}
	return version + " (ipvsadm 1.31 command line)\n"
}

func helpText(prog string) string { return strings.ReplaceAll(usageText, "PROG", prog) }

const usageText = `Usage:
  PROG -A|-E SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [-b FLAGS] [--pe ENGINE] [-o]
  PROG -D SERVICE
  PROG -a|-e SERVICE -r SERVER [-m|-g|-i|--fullnat [--toa]] [-w WEIGHT] [-x UPPER] [-y LOWER] [TUNNEL]
  PROG -d SERVICE -r SERVER
  PROG -L|-l [SERVICE | -c | --timeout | --daemon] [HOW]
  PROG -Z [SERVICE]
  PROG -C | -S [-n] | -R
  PROG --set TCP TCPFIN UDP
  PROG --start-daemon|--stop-daemon master|backup [SYNC]
  PROG -h | -v

The first option is the command. Without any, the table is listed.

Commands
  -A, --add-service       create a virtual service
  -E, --edit-service      replace its settings: what is left out gets its default
  -D, --delete-service    remove it with its servers
  -a, --add-server        put a real server under a virtual service
  -e, --edit-server       replace its settings: what is left out gets its default
  -d, --delete-server     remove it; its connections stay
  -C, --clear             remove all virtual services
  -L, -l, --list          show services, connections, timeouts or sync daemons
  -S, --save              print the command lines that make the table
  -R, --restore           execute command lines from standard input
  -Z, --zero              set counters to zero
      --set               seconds for established TCP, TCP after a FIN, and UDP; 0 keeps one
      --start-daemon, --stop-daemon
                          connection synchronization (not in this version)
  -h, --help; -v, --version

SERVICE, one of
  -t, --tcp-service HOST:PORT
  -u, --udp-service HOST:PORT
      --sctp-service HOST:PORT
  -f, --fwmark-service MARK [-6, --ipv6]

For services
  -s, --scheduler NAME    rr wrr lc wlc (default) lblc lblcr dh sh sed nq fo ovf twos mh
  -p, --persistent [N]    a client stays with its server for N seconds (360)
  -M, --netmask MASK      ... and so do the clients of its network
      --pe ENGINE         persistence engine: sip
  -o, --ops               every UDP packet is scheduled anew
  -b, --sched-flags LIST  sh-fallback,sh-port mh-fallback,mh-port flag-1,flag-2,flag-3

For servers
  -r, --real-server HOST[:PORT]
                          without a port, the service's
  -m, --masquerading      network address translation: can change the port
  -g, --gatewaying        direct routing (default)
  -i, --ipip              tunnel
      --fullnat           natlb's own: translation of both ends, from a source address of
                          the director's (natlb source add); can change the port
      --toa               with --fullnat: tell the server the client by a TCP option
  -w, --weight N          share of new connections (1); 0 takes no new ones
  -x, --u-threshold N     connections at which it stops taking new ones (0: never)
  -y, --l-threshold N     connections below which it starts again

TUNNEL, with -i
      --tun-type TYPE     ipip (default), gue or gre
      --tun-port PORT     for gue
      --tun-nocsum, --tun-csum, --tun-remcsum

HOW
  -n, --numeric           numbers, no names
  -c, --connection        connections instead of services
      --timeout, --daemon the three timeouts; sync daemons
      --stats, --rate     counters; the same per second
  -X, --exact             full numbers in these two
      --thresholds, --persistent-conn, --tun-info
                          other columns
      --nosort            in the director's own order (--sort does nothing)
      --json              all of it for programs

SYNC
      --mcast-interface IF, --mcast-group ADDRESS, --mcast-port PORT, --mcast-ttl TTL,
      --syncid ID, --sync-maxlen BYTES
`
