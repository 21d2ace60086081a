package replay

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"natlb/ipvs"
)

// WriteText writes the result for people: at most rows connections, 0 for all
// that it has.
func (r *Result) WriteText(w io.Writer, rows int) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	r.writeInputs(t)
	r.writeLedger(t)
	for i := range r.Services {
		r.Services[i].write(t)
	}
	r.writeConnections(t, rows)
	return t.Flush()
}

func (r *Result) writeInputs(w io.Writer) {
	for _, in := range r.Inputs {
		fmt.Fprintf(w, "%s (%s): %d packets, %d bytes", in.File, in.Side, in.Packets, in.Bytes)
		if in.Own > 0 {
			fmt.Fprintf(w, "; %d of them the recorded director's own, not played", in.Own)
		}
		if in.Cut {
			fmt.Fprint(w, "; the file ends inside a packet")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d packets played", r.Packets.Received)
	if r.Started != "" {
		fmt.Fprintf(w, ", from %s on for %s s", r.Started, seconds(r.Duration))
	}
	fmt.Fprintf(w, "; %d packets sent\n", r.Packets.Sent)
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{r.Packets.Short, "captured short"},
		{r.Packets.Lost, "of these without all headers, and dropped"},
		{r.Packets.Late, "older than the packet before, and played at its time"},
		{r.LostEvents, "events too many for the director to tell: some ends and states are missing"},
	} {
		if note.n > 0 {
			fmt.Fprintf(w, "%d %s\n", note.n, note.text)
		}
	}
}

func (r *Result) writeLedger(w io.Writer) {
	fmt.Fprintf(w, "\nverdict\tpackets\n")
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "%s\t%d\n", v.Name, v.Count)
	}
	fmt.Fprintf(w, "sum\t%d\n", r.Packets.Received)
}

func (s *ServiceShare) write(w io.Writer) {
	fmt.Fprintf(w, "\n%v %s: %d connections\n", s.Key, s.Scheduler, s.Stats.Conns)
	fmt.Fprintf(w, "server\tweight\tconns\tshare\tin packets\tout packets\tin bytes\tout bytes\tactive\tinactive\n")
	for _, d := range s.Servers {
		share := "-"
		if s.Stats.Conns > 0 {
			share = fmt.Sprintf("%.1f%%", 100*float64(d.Stats.Conns)/float64(s.Stats.Conns))
		}
		fmt.Fprintf(w, "%v\t%d\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", d.Address, d.Weight, d.Stats.Conns, share,
			d.Stats.InPkts, d.Stats.OutPkts, d.Stats.InBytes, d.Stats.OutBytes, d.Active, d.Inactive)
	}
}

func (r *Result) writeConnections(w io.Writer, rows int) {
	if len(r.Connections) == 0 {
		return
	}
	if rows <= 0 || rows > len(r.Connections) {
		rows = len(r.Connections)
	}
	fmt.Fprintf(w, "\nstart\tproto\tclient\tvirtual\tserver\twhy\tpackets in/out\tbytes in/out\tstate\tended\n")
	for _, c := range r.Connections[:rows] {
		ended := c.Ended
		if ended != StillOpen {
			ended += " at " + seconds(c.End)
		}
		why, client, virtual := c.Why.String(), c.Client.String(), c.Virtual.String()
		if c.Template {
			why, client = "(template)", c.Client.Addr().String()
		}
		if c.Template && c.Proto == ipvs.AnyProtocol {
			virtual = c.Service.String()
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%s\t%v\t%s\t%d/%d\t%d/%d\t%s\t%s\n", seconds(c.Start), c.Proto, client, virtual, c.Dest, why,
			c.InPackets, c.OutPackets, c.InBytes, c.OutBytes, c.State, ended)
	}
	if more := uint64(len(r.Connections)-rows) + r.Left; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}

// seconds writes a time with microseconds.
func seconds(d time.Duration) string {
	return fmt.Sprintf("%d.%06d", d/time.Second, d%time.Second/time.Microsecond)
}
