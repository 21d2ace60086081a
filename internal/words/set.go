package words

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/ipvs"
)

const setHelp = `set shows or changes the timeouts and the settings that IPVS has as sysctls.
Without arguments it shows all, with one name that one. Several changes are one
transaction: all or nothing.

    natlb set tcp 15m tcpfin 2m udp 5m
    natlb set conn_reuse_mode=0 lblc_expiration=1h

Times are seconds, or have units: 90, 90s, 15m, 1h30m, 2d.`

// set is one word for timeouts and sysctls.
func (e *Env) set() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "set [NAME | NAME VALUE ... | NAME=VALUE ...]",
		Short: "show or change timeouts and settings, times with units",
		Long:  setHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := e.dial()
			defer client.Close()
			wishes, err := readWishes(args)
			if err != nil {
				return err
			}
			if len(wishes) == 0 || wishes[0].asks {
				return showSettings(cmd, client, wishes, asJSON)
			}
			if asJSON {
				return hinted{errors.New("--json shows, and does not change"), "leave it out, or the values"}
			}
			return changeSettings(cmd, client, wishes)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "show as JSON")
	return e.talks(cmd)
}

// wish is a setting with the value that it should get, or a question for it.
type wish struct {
	name, value string
	asks        bool
}

// readWishes reads NAME=VALUE and NAME VALUE, or one NAME alone.
func readWishes(args []string) (wishes []wish, err error) {
	for i := 0; i < len(args); i++ {
		name, value, set := strings.Cut(args[i], "=")
		if !set && i+1 < len(args) {
			i++
			value, set = args[i], true
		}
		w := wish{strings.TrimPrefix(strings.TrimSpace(name), sysctlPrefix), strings.TrimSpace(value), !set}
		switch {
		case w.asks && len(args) > 1:
			return nil, hinted{fmt.Errorf("%s has no value", name), "natlb set NAME VALUE or NAME=VALUE, several of them if you like; natlb set NAME alone shows one"}
		case slices.ContainsFunc(wishes, func(o wish) bool { return o.name == w.name }):
			return nil, hinted{fmt.Errorf("%s is given twice", w.name), "nothing was changed"}
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

// timeoutNames are the timeouts in the order of --set.
var timeoutNames = []string{"tcp", "tcpfin", "udp"}

// timeout returns the place of a timeout in t, or nil.
func timeout(t *ipvs.Timeouts, name string) *uint32 {
	switch name {
	case "tcp":
		return &t.TCP
	case "tcpfin":
		return &t.TCPFin
	case "udp":
		return &t.UDP
	}
	return nil
}

func changeSettings(cmd *cobra.Command, client *control.Client, wishes []wish) error {
	var changes []ipvs.Change
	var timeouts ipvs.Timeouts // 0 leaves one as it is
	for _, w := range wishes {
		if t := timeout(&timeouts, w.name); t != nil {
			seconds, err := readSeconds(w.value)
			if err != nil || seconds < 1 || seconds > ipvs.MaxTimeout {
				return hinted{fmt.Errorf("timeout %s takes 1s to %s, not %q", w.name, writeSeconds(ipvs.MaxTimeout), w.value), "times are seconds or have units: 90, 15m, 1h30m, 2d; nothing was changed"}
			}
			*t = uint32(seconds)
			continue
		}
		value := w.value
		if seconds, err := readSeconds(value); err == nil && isTime(w.name) {
			value = strconv.FormatInt(seconds, 10)
		}
		changes = append(changes, ipvs.Change{Kind: ipvs.SetSysctl, Name: w.name, Value: value})
	}
	if timeouts != (ipvs.Timeouts{}) {
		changes = append(changes, ipvs.Change{Kind: ipvs.SetTimeouts, Timeouts: timeouts})
	}
	err := client.Apply(cmd.Context(), changes)
	switch {
	case errors.Is(err, ipvs.ErrUnknownSysctl):
		return hinted{err, "natlb set shows all names; nothing was changed"}
	case errors.Is(err, ipvs.ErrUnsupportedSysctl), errors.Is(err, ipvs.ErrInvalid):
		return hinted{err, "natlb set shows what each setting means; nothing was changed"}
	}
	return err
}

// isTime reports whether a sysctl is in seconds.
func isTime(name string) bool { return strings.HasSuffix(name, "_expiration") }

// readSeconds reads a time: seconds, or with units as time.ParseDuration has
// them, and d for days in front.
func readSeconds(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil || text == "" {
		return n, err
	}
	days, rest, has := strings.Cut(text, "d")
	if !has {
		days, rest = "0", text
	}
	n, err := strconv.ParseInt(days, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no time", text)
	}
	d := time.Duration(0)
	if rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is no time in whole seconds", text)
	}
	return n*86400 + int64(d/time.Second), nil
}

// writeSeconds writes a time as people do: 90 is 1m30s, 900 is 15m.
func writeSeconds(n int64) string {
	var b strings.Builder
	for _, u := range []struct {
		unit    string
		seconds int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} {
		if q := n / u.seconds; q > 0 || u.seconds == 1 && b.Len() == 0 {
			fmt.Fprintf(&b, "%d%s", q, u.unit)
		}
		n %= u.seconds
	}
	return b.String()
}

// settings is what set shows, also as JSON.
type settings struct {
	Timeouts ipvs.Timeouts    `json:"timeouts"`
	Sysctls  []control.Sysctl `json:"sysctls"`
}

func showSettings(cmd *cobra.Command, client *control.Client, wishes []wish, asJSON bool) error {
	state, err := client.State(cmd.Context())
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), settings{state.Timeouts, state.Sysctls})
	}
	rows := settingRows(state)
	if len(wishes) > 0 {
		name := wishes[0].name
		rows = slices.DeleteFunc(rows, func(r [4]string) bool { return r[0] != name })
		if len(rows) == 0 {
			return hinted{fmt.Errorf("%w: %s", ipvs.ErrUnknownSysctl, name), "natlb set shows all names"}
		}
	}
	return writeRows(cmd.OutOrStdout(), rows)
}

var timeoutMeanings = map[string]string{
	"tcp":    "an established TCP connection without packets ends",
	"tcpfin": "a TCP connection ends after the first FIN",
	"udp":    "UDP without packets ends",
}

// settingRows returns name, value, default and meaning of everything.
func settingRows(state *control.State) (rows [][4]string) {
	defaults := ipvs.DefaultTimeouts
	for _, name := range timeoutNames {
		is, was := int64(*timeout(&state.Timeouts, name)), int64(*timeout(&defaults, name))
		rows = append(rows, [4]string{name, writeSeconds(is), writeSeconds(was), timeoutMeanings[name]})
	}
	for _, s := range state.Sysctls {
		value, initial := s.Value, s.Default
		if isTime(s.Name) {
			value, initial = humanSeconds(value), humanSeconds(initial)
		}
		rows = append(rows, [4]string{s.Name, value, initial, s.Meaning})
	}
	return rows
}

func humanSeconds(value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return value
	}
	return writeSeconds(n)
}

// writeRows writes a table; what is not at its default has a star.
func writeRows(w io.Writer, rows [][4]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		star := " "
		if r[1] != r[2] {
			star = "*"
		}
		fmt.Fprintf(table, "%s\t%s%s\t(default %s)\t%s\n", r[0], r[1], star, r[2], r[3])
	}
	return table.Flush()
}
