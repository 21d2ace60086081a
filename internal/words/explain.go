package words

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"natlb/ipvs"
)

// explain asks what would become of one packet.
func (e *Env) explain() *cobra.Command {
	var flags, chunk, mark, reply string
	var asJSON bool
	var q ipvs.Question
	cmd := &cobra.Command{
		Use:   "explain tcp|udp|sctp CIP[:PORT] VIP:PORT | tcp|udp|sctp CIP:PORT --reply RIP:PORT",
		Short: "say what would become of one packet, and why",
		Long: `natlb explain asks the director what it would do with a packet from a client to a
VIP: which service takes it, what the scheduler compares, which server it picks,
the connection, the packet before and after, and the way on. With --reply it is
about what a real server answers the client. The director tries the packet on a
copy of what it touches: nothing changes, and the next packet is treated so.`,
		Example: `  natlb explain tcp 203.0.113.7 192.0.2.1:80
  natlb explain tcp 203.0.113.7:40123 192.0.2.1:80 --flags ACK
  natlb explain udp 203.0.113.7:40123 --reply 10.0.0.2:53`,
		Args: func(_ *cobra.Command, args []string) (err error) {
			q, err = question(args, reply, flags, chunk, mark, q.Link)
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := e.dial()
			defer client.Close()
			x, err := client.Explain(cmd.Context(), q)
			switch {
			case errors.Is(err, ipvs.ErrInvalid):
				return usage(cmd, err)
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), x)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), explanationText(x))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&reply, "reply", "", "the packet is what the real server RIP:PORT answers the client")
	f.StringVar(&flags, "flags", "", "TCP flags of the packet, as SYN|ACK (default SYN; with --reply SYN|ACK)")
	f.StringVar(&chunk, "chunk", "", "SCTP chunk of the packet, as COOKIE-ECHO (default INIT; with --reply INIT-ACK)")
	f.StringVar(&mark, "mark", "", "firewall mark of the packet (default: what the rules of natlb mark give it)")
	f.StringVar(&q.Link, "via", "", "interface that the packet comes in by (default: the one that leads to its sender)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object, with all servers")
	return e.talks(cmd)
}

// question reads a command line.
func question(args []string, reply, flags, chunk, mark, link string) (q ipvs.Question, err error) {
	q.Link = link
	want := 3
	if reply != "" {
		want = 2
		if q.Server, err = netip.ParseAddrPort(reply); err != nil {
			return q, fmt.Errorf("--reply takes RIP:PORT, not %q", reply)
		}
	}
	if len(args) != want {
		return q, fmt.Errorf("a protocol, a client and a VIP:PORT are needed, or --reply RIP:PORT in place of the last: %d words given", len(args))
	}
	switch strings.ToLower(args[0]) {
	case "tcp":
		q.Proto = ipvs.TCP
	case "udp":
		q.Proto = ipvs.UDP
	case "sctp":
		q.Proto = ipvs.SCTP
	default:
		return q, fmt.Errorf("protocol tcp, udp or sctp, not %q", args[0])
	}
	if q.Client, err = netip.ParseAddrPort(args[1]); err != nil {
		addr, err := netip.ParseAddr(args[1])
		if err != nil {
			return q, fmt.Errorf("the client is CIP or CIP:PORT, not %q", args[1])
		}
		q.Client = netip.AddrPortFrom(addr, 0)
	}
	if reply == "" {
		if q.Virtual, err = netip.ParseAddrPort(args[2]); err != nil {
			return q, fmt.Errorf("where it goes is VIP:PORT, not %q", args[2])
		}
	}
	if flags != "" {
		if q.Flags, err = ipvs.ParseTCPFlags(flags); err != nil {
			return q, err
		}
	}
	if chunk != "" {
		kind, err := ipvs.ParseChunk(chunk)
		if err != nil {
			return q, err
		}
		q.Chunk = &kind
	}
	if mark != "" {
		n, err := strconv.ParseUint(mark, 0, 32)
		if err != nil {
			return q, fmt.Errorf("--mark takes a number up to 4294967295, not %q", mark)
		}
		q.Mark = new(uint32)
		*q.Mark = uint32(n)
	}
	return q, nil
}
