package words

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/ipvs"
)

func (e *Env) events() *cobra.Command {
	var choice filterFlags
	var kinds []string
	var asJSON bool
	var count uint64
	cmd := &cobra.Command{
		Use:   "events",
		Short: "connections, servers, configuration: what happens, when it does",
		Long: "One line for each event from now on: connections and persistence templates born, changed and died with why,\n" +
			"servers up, quiesced, down, overloaded, recovered, unreachable and reachable, changes of the configuration, faults of links.\n" +
			"A reader who is too slow loses events, and is told how many. Ctrl-C ends it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := choice.filter(cmd.Context())
			if err != nil {
				return usage(cmd, err)
			}
			for _, word := range kinds {
				of, err := control.ParseKinds(word)
				if err != nil {
					return usage(cmd, err)
				}
				filter.Kinds = append(filter.Kinds, of...)
			}
			client := e.dial()
			defer client.Close()
			out := bufio.NewWriter(e.Stdout)
			told := uint64(0)
			var failed error
			err = client.Follow(cmd.Context(), filter, nil, func(event *control.Event) bool {
				if asJSON {
					failed = printJSON(out, control.JSONOfEvent(event))
				} else {
					printEvent(out, event)
				}
				if failed == nil {
					failed = out.Flush()
				}
				told++
				return failed == nil && told != count
			})
			if failed != nil {
				return failed
			}
			return err
		},
	}
	choice.add(cmd)
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only these `KINDS`, by comma: born, state, died or conn for all three; server, config, ...")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object for each")
	cmd.Flags().Uint64VarP(&count, "count", "c", 0, "end after so many events")
	return e.talks(cmd)
}

// printEvent writes an event as a line for people.
func printEvent(w io.Writer, e *control.Event) {
	fmt.Fprintf(w, "%s %-6s ", e.Time.Local().Format("15:04:05.000000"), e.Kind)
	switch e.Kind {
	case ipvs.EventBorn, ipvs.EventState, ipvs.EventDied:
		printConnEvent(w, e)
	case ipvs.EventServerUp, ipvs.EventServerQuiesced, ipvs.EventServerDown:
		fmt.Fprintf(w, "%v server %v, weight %d > %d", e.Service, e.Server, e.WeightBefore, e.Weight)
	case ipvs.EventServerOverloaded, ipvs.EventServerRecovered:
		fmt.Fprintf(w, "%v server %v", e.Service, e.Server)
	case ipvs.EventServerUnreachable:
		fmt.Fprintf(w, "%v server %v, weight %d%s", e.Service, e.Server, e.Weight, withheldText(e.Withheld))
	case ipvs.EventServerReachable:
		fmt.Fprintf(w, "%v server %v, weight %d", e.Service, e.Server, e.Weight)
	case ipvs.EventConfig:
		fmt.Fprint(w, changeText(e))
	case ipvs.EventLocalServer:
		fmt.Fprintf(w, "%v server %v: an address of this host, which %v does not reach", e.Service, e.Server, e.Method)
	case ipvs.EventVIPConflict:
		fmt.Fprintf(w, "%v is claimed by %v on %s", e.VIP, net.HardwareAddr(e.MAC[:]), e.Link)
	case ipvs.EventLink:
		fmt.Fprintf(w, "%s: %v", e.Link, e.Err)
	case ipvs.EventGap:
		fmt.Fprintf(w, "%d events were lost: there were more than could be told", e.Lost)
	}
	fmt.Fprintln(w)
}

// withheldText says what being unreachable means for new connections.
func withheldText(withheld bool) string {
	if withheld {
		return ", quiesced until it can be reached"
	}
	return ", and it goes on getting connections (sysctl quiesce_unreachable is 0)"
}

func printConnEvent(w io.Writer, e *control.Event) {
	what := e.Proto.String()
	if e.Template {
		what += " template"
	}
	fmt.Fprintf(w, "%s %v > %s > %v ", what, e.Client, virtualText(e.Virtual, e.Proto, e.Mark), e.Server)
	switch e.Kind {
	case ipvs.EventState:
		fmt.Fprintf(w, "%s > %s", e.Before, e.State)
		switch {
		case e.Template || e.Reason == ipvs.Awaited:
		case e.FromServer:
			fmt.Fprintf(w, ", server's %v", e.Reason)
		default:
			fmt.Fprintf(w, ", client's %v", e.Reason)
		}
	case ipvs.EventDied:
		fmt.Fprintf(w, "%s, %v", e.State, e.Reason)
		if !e.Template {
			fmt.Fprintf(w, ", %d packets in", e.Packets)
		}
	default:
		fmt.Fprint(w, e.State)
	}
}

// changeText says what a change of the configuration was.
func changeText(e *control.Event) string {
	parts := []string{e.Change.String()}
	if e.Service != (ipvs.ServiceKey{}) {
		parts = append(parts, e.Service.String())
	}
	if e.Server.IsValid() {
		parts = append(parts, "server "+e.Server.String())
	}
	switch e.Change {
	case ipvs.AddDestination, ipvs.EditDestination:
		parts = append(parts, fmt.Sprintf("weight %d", e.Weight))
	case ipvs.SetSysctl:
		parts = append(parts, sysctlPrefix+e.Name+"="+e.Value)
	default:
		if e.Value != "" {
			parts = append(parts, e.Value)
		}
	}
	return strings.Join(parts, " ")
}
