package words

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/drain"
	"natlb/internal/ipvsadm"
	"natlb/internal/terminal"
	"natlb/ipvs"
)

// Exit statuses of natlb drain.
const (
	exitDeadline    = 3
	exitInterrupted = 130
)

func (e *Env) drain() *cobra.Command {
	d := drainer{env: e}
	var then string
	cmd := &cobra.Command{
		Use:   "drain -t VIP:port -r RIP:port",
		Short: "take a real server out of use without cutting its connections",
		Long: "Sets the server's weight to 0, so that it is given no new connections, and waits until its last active one is\n" +
			"gone. For UDP, which has no active ones, it waits until every flow's time is up.\n\n" +
			"Persistence is respected: clients with a template go on coming to the server (unless sysctl\n" +
			"expire_quiescent_template is 1). --break-persistence takes the server's templates away, so that its clients'\n" +
			"next connections go to others.\n\n" +
			"Exit status: 0 drained, 3 the deadline passed, 130 interrupted, 2 no director, 1 anything else. After 3 and 130\n" +
			"the server stays at weight 0; the line that undoes it is printed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch then {
			case "", "delete":
				d.config.Delete = then != ""
			default:
				return usage(cmd, fmt.Errorf("--then takes delete, not %q", then))
			}
			if d.config.Deadline < 0 {
				return usage(cmd, errors.New("--deadline takes a time, as 5m"))
			}
			if err := d.choose(cmd.Context()); err != nil {
				return usage(cmd, err)
			}
			return d.run(cmd.Context())
		},
	}
	d.service.add(cmd, "the server's service")
	f := cmd.Flags()
	f.StringVarP(&d.server, "real-server", "r", "", "the real server, `RIP[:port]`")
	f.BoolVar(&d.everywhere, "all-services", false, "in every service that has the server, on the port of -r or on any")
	f.DurationVar(&d.config.Deadline, "deadline", 0, "wait no longer than this, as 5m")
	f.StringVar(&then, "then", "", "what to do once it is drained: `delete` it")
	f.BoolVar(&d.config.BreakPersistence, "break-persistence", false, "take the server's persistence templates away")
	f.BoolVar(&d.json, "json", false, "a JSON object for each step")
	return e.talks(cmd)
}

// drainer is one run of natlb drain.
type drainer struct {
	env        *Env
	service    serviceFlags
	server     string
	everywhere bool
	json       bool
	config     drain.Config

	begun bool
	line  *terminal.Line
	last  []drain.Server // as they were told last
}

func (d *drainer) run(ctx context.Context) error {
	client := d.env.dial()
	defer client.Close()
	d.line = terminal.NewLine(d.env.Stdout)
	d.config.Director = client
	d.config.Show = func(p *drain.Progress) { d.progress(ctx, client, p) }
	outcome, p, err := drain.Run(ctx, d.config)
	d.line.End()
	if len(p.Servers) == 0 && ctx.Err() != nil {
		fmt.Fprintln(d.env.Stderr, "natlb: interrupted: nothing was changed")
		return Exit(exitInterrupted)
	}
	if errors.Is(err, drain.ErrNothing) {
		return fmt.Errorf("%w %s%s", err, d.server, d.where())
	}
	return d.end(outcome, p, err)
}

// where says in which service a server was looked for.
func (d *drainer) where() string {
	if d.everywhere {
		return " in any service"
	}
	return " in that service"
}

// choose reads the flags that name the servers.
func (d *drainer) choose(ctx context.Context) error {
	switch {
	case d.server == "":
		return errors.New("name the real server: -r RIP:port")
	case d.everywhere && d.service.given():
		return errors.New("--all-services and a service exclude each other")
	case d.everywhere:
		server, err := serverOf(d.server)
		d.config.Choose = func(_ ipvs.ServiceKey, s *ipvs.Destination) bool { return matches(server, s.Addr) }
		return err
	case !d.service.given():
		return errors.New("name the service: -t VIP:port, -u VIP:port, --sctp-service VIP:port or -f MARK [-6] (or --all-services)")
	}
	key, server, err := d.service.target(ctx, d.server)
	d.config.Choose = func(k ipvs.ServiceKey, s *ipvs.Destination) bool { return k == key && s.Addr == server.Addr }
	return err
}

// matches reports whether a server is the wanted one, whose port 0 is any.
func matches(want, server netip.AddrPort) bool {
	return want.Addr() == server.Addr() && (want.Port() == 0 || want.Port() == server.Port())
}

// progress tells how far it is, if that has changed.
func (d *drainer) progress(ctx context.Context, client *control.Client, p *drain.Progress) {
	if !d.begun {
		d.begun = true
		d.begin(ctx, client, p)
	}
	if d.json {
		if !slices.Equal(d.last, p.Servers) {
			d.tellJSON("draining", p, nil)
		}
	} else {
		d.line.Show(d.text(p))
	}
	d.last = append(d.last[:0], p.Servers...)
}

// begin says what was done, and what stands in the way.
func (d *drainer) begin(ctx context.Context, client *control.Client, p *drain.Progress) {
	if d.json {
		return
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		if s.Before.Weight == 0 {
			fmt.Fprintf(d.env.Stdout, "%v server %v: has weight 0 already\n", s.Service, s.Before.Addr)
			continue
		}
		fmt.Fprintf(d.env.Stdout, "%v server %v: weight %d > 0\n", s.Service, s.Before.Addr, s.Before.Weight)
	}
	if n := p.Templates(); n > 0 && !d.config.BreakPersistence && !d.expiring(ctx, client) {
		fmt.Fprintf(d.env.Stderr, "hint: %d persistence templates go on bringing their clients; --break-persistence takes them away\n", n)
	}
}

// expiring reports whether templates of quiesced servers are not used anyway.
func (d *drainer) expiring(ctx context.Context, client *control.Client) bool {
	settings, err := client.Sysctls(ctx)
	for _, s := range settings {
		if s.Name == "expire_quiescent_template" {
			return err == nil && s.Value != "0"
		}
	}
	return false
}

// text is the line that is shown while it drains. On a terminal it has the time.
func (d *drainer) text(p *drain.Progress) string {
	active, inactive := 0, 0
	for i := range p.Servers {
		active += int(p.Servers[i].Active)
		inactive += int(p.Servers[i].Inactive)
	}
	text := fmt.Sprintf("%d active, %d inactive, %d persistent", active, inactive, p.Templates())
	if terminal.InPlace(d.env.Stdout) {
		text += ", after " + p.Elapsed.Round(time.Second).String()
		if d.config.Deadline > 0 {
			text += " of " + d.config.Deadline.String()
		}
	}
	return text
}

// end says how it ended and what stands, and returns the exit status.
func (d *drainer) end(outcome drain.Outcome, p *drain.Progress, err error) error {
	word, status := "drained", error(nil)
	switch {
	case err != nil:
		word, status = "failed", err
	case outcome == drain.Deadline:
		word, status = "deadline", Exit(exitDeadline)
	case outcome == drain.Interrupted:
		word, status = "interrupted", Exit(exitInterrupted)
	case d.config.Delete:
		word = "deleted"
	}
	if len(p.Servers) == 0 {
		return status // nothing was changed
	}
	if d.json {
		d.tellJSON(word, p, err)
		return status
	}
	out := d.env.Stdout
	elapsed := p.Elapsed.Round(time.Second / 10)
	switch word {
	case "drained":
		fmt.Fprintf(out, "drained after %v; weight 0 stays. To give it back:\n", elapsed)
	case "deleted":
		fmt.Fprintf(out, "drained after %v, and deleted\n", elapsed)
		return nil
	case "deadline":
		fmt.Fprintf(out, "not drained after %v: %s left; weight 0 stays. To give it back:\n", elapsed, connections(p.Left()))
	case "interrupted":
		fmt.Fprintf(out, "interrupted: %s left; weight 0 stays. To give it back:\n", connections(p.Left()))
	case "failed":
		return status
	}
	for _, line := range d.undo(p) {
		fmt.Fprintln(out, "  "+line)
	}
	return status
}

func connections(n int) string {
	if n == 1 {
		return "1 connection is"
	}
	return fmt.Sprintf("%d connections are", n)
}

// undo returns the command lines that make the servers what they were.
func (d *drainer) undo(p *drain.Progress) (lines []string) {
	natlb := "natlb "
	if d.env.socket != "" {
		natlb += "--socket " + d.env.socket + " "
	}
	for i := range p.Servers {
		if s := &p.Servers[i]; s.Before.Weight != 0 {
			lines = append(lines, natlb+ipvsadm.EditLine(s.Service, &s.Before))
		}
	}
	if lines == nil {
		lines = []string{"(its weight was 0 before)"}
	}
	return lines
}

// drainJSON is a step as JSON.
type drainJSON struct {
	State   string        `json:"state"` // draining; at the end drained, deleted, deadline, interrupted or failed
	Elapsed float64       `json:"elapsed_seconds"`
	Left    int           `json:"left"` // connections that are waited for
	Servers []drainServer `json:"servers"`
	Undo    []string      `json:"undo,omitempty"` // command lines
	Error   string        `json:"error,omitempty"`
}

type drainServer struct {
	Protocol     string         `json:"protocol,omitempty"`
	Service      netip.AddrPort `json:"service,omitzero"`
	Mark         uint32         `json:"mark,omitempty"`
	IPv6         bool           `json:"ipv6,omitempty"` // the family of a mark
	Address      netip.AddrPort `json:"address"`
	WeightBefore int32          `json:"weight_before"`
	Active       int32          `json:"active"`
	Inactive     int32          `json:"inactive"`
	PersistConns int32          `json:"persist_conns"`
}

func (d *drainer) tellJSON(state string, p *drain.Progress, err error) {
	step := drainJSON{State: state, Elapsed: p.Elapsed.Seconds(), Left: p.Left()}
	for i := range p.Servers {
		s := &p.Servers[i]
		row := drainServer{
			Service: s.Service.VIP, Mark: s.Service.Mark, IPv6: s.Service.V6, Address: s.Before.Addr, WeightBefore: s.Before.Weight,
			Active: s.Active, Inactive: s.Inactive, PersistConns: s.PersistConns,
		}
		if !s.Service.IsMark() {
			row.Protocol = strings.ToLower(s.Service.Proto.String())
		}
		step.Servers = append(step.Servers, row)
	}
	if err != nil {
		step.Error = err.Error()
	}
	if state != "draining" && state != "deleted" {
		step.Undo = d.undo(p)
	}
	_ = printJSON(d.env.Stdout, step) // whoever does not read it any more has the exit status
}
