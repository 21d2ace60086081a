package words

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/ipvs"
)

func (e *Env) conns() *cobra.Command {
	var choice filterFlags
	var state, by string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "conns",
		Short: "list connections and templates by filters, or count them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := choice.filter(cmd.Context())
			if err != nil {
				return usage(cmd, err)
			}
			if limit < 0 {
				return usage(cmd, errors.New("--limit takes a number of connections"))
			}
			filter.State, filter.Limit = state, limit
			client := e.dial()
			defer client.Close()
			if by == "" {
				return e.listConns(cmd.Context(), client, filter, asJSON)
			}
			if !slices.Contains(control.CountedBy(), by) {
				return usage(cmd, fmt.Errorf("--count-by takes %s, not %q", strings.Join(control.CountedBy(), ", "), by))
			}
			filter.Limit = 0
			return e.countConns(cmd.Context(), client, filter, by, limit, asJSON)
		},
	}
	choice.add(cmd)
	cmd.Flags().StringVar(&state, "state", "", "only in this `STATE`, for instance ESTABLISHED")
	cmd.Flags().StringVar(&by, "count-by", "", "count them by `server|client|state|service`")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many lines")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object for each; of counts, one")
	return e.talks(cmd)
}

// listConns prints connections as they arrive.
func (e *Env) listConns(ctx context.Context, client *control.Client, filter control.Filter, asJSON bool) error {
	out := bufio.NewWriter(e.Stdout)
	head := sync.OnceFunc(func() { // not before the director has answered
		fmt.Fprintf(out, "%-4s %-7s %-11s %10s %-21s %-21s %s\n", "PROT", "EXPIRES", "STATE", "PACKETS-IN", "CLIENT", "VIRTUAL", "SERVER")
	})
	var failed error
	err := client.Chosen(ctx, filter, func(c ipvs.ConnStatus) bool {
		if asJSON {
			failed = printJSON(out, control.JSONOfConn(&c))
		} else {
			head()
			failed = printConn(out, &c)
		}
		return failed == nil
	})
	if err == nil && !asJSON {
		head()
	}
	return errors.Join(failed, err, out.Flush())
}

func printConn(w io.Writer, c *ipvs.ConnStatus) error {
	client, packets := c.Client.String(), fmt.Sprint(c.InPkts)
	if c.Template {
		client, packets = c.Client.Addr().String()+" (all)", "-"
	}
	server := c.Dest.String()
	if c.Source.IsValid() { // what the server's log has
		server += " from " + c.Source.String()
	}
	_, err := fmt.Fprintf(w, "%-4v %-7s %-11s %10s %-21s %-21s %s\n",
		c.Proto, minutes(c.Expires), c.State, packets, client, virtualText(c.Virtual, c.Proto, c.Mark), server)
	return err
}

// minutes writes a time as ipvsadm does, MM:SS.
func minutes(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// virtualText writes the virtual endpoint; that of a firewall mark's template is
// the mark.
func virtualText(virtual netip.AddrPort, proto ipvs.Protocol, mark uint32) string {
	if proto == ipvs.AnyProtocol && mark != 0 {
		return fmt.Sprintf("fwm %d", mark)
	}
	return virtual.String()
}

// countConns prints the numbers of connections, the largest first.
func (e *Env) countConns(ctx context.Context, client *control.Client, filter control.Filter, by string, limit int, asJSON bool) error {
	counts, err := client.Counts(ctx, filter, by)
	if err != nil {
		return err
	}
	if limit > 0 && len(counts.Groups) > limit {
		for _, g := range counts.Groups[limit:] {
			counts.Others.Connections += g.Connections
			counts.Others.Templates += g.Templates
		}
		counts.Groups = counts.Groups[:limit]
	}
	if asJSON {
		return printJSON(e.Stdout, counts)
	}
	out := bufio.NewWriter(e.Stdout)
	line := func(connections, templates any, name string) {
		fmt.Fprintf(out, "%11v %9v  %s\n", connections, templates, name)
	}
	line("CONNECTIONS", "TEMPLATES", strings.ToUpper(by))
	for _, g := range counts.Groups {
		line(g.Connections, g.Templates, g.Name)
	}
	if o := counts.Others; o.Connections+o.Templates > 0 {
		line(o.Connections, o.Templates, "(others)")
	}
	line(counts.Total.Connections, counts.Total.Templates, "(total)")
	return out.Flush()
}
