package oracletest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The rules by which a result counts as the recorded one; tools/oracle/compare.py
// has the same. Left out: the program's name, the order of connection rows (a
// hash), expiry within expirySlack, and sequence numbers that a server has drawn.
// Three things are stricter: trailing blanks count, the counters of --stats are
// exact, and a sysctl or a mark that the kernel took must be taken.

const expirySlack = 3 // seconds

var (
	programs = regexp.MustCompile(`ipvsadm|natlb|Natlb`)
	connRow  = regexp.MustCompile(`^(\w+) +(\d+):(\d+)(?::(\d+))? +(.*)$`)
	rates    = regexp.MustCompile(`^(.*?\S)(?: +\d+[KMG]?){5}$`)
	sequence = regexp.MustCompile(`\b(seq|ack)=(s\+)?\d+`)
)

// preparations are the steps whose results are not compared.
var preparations = []string{"exec", "readfile", "note", "mtu", "cap", "capsave"}

// difference is a field of a result that is not as recorded.
type difference struct{ field, reason string }

// compareResults returns the differences of a step.
func compareResults(s step, want, got result) []difference {
	if slices.Contains(preparations, s.op()) {
		return nil
	}
	got = decoded(got)
	var out []difference
	for _, field := range fields(want, got) {
		if reason := compareField(field, value(want, field), value(got, field), s); reason != "" {
			out = append(out, difference{field, reason})
		}
	}
	return out
}

// decoded gives a result the types that JSON has.
func decoded(r result) (out result) {
	if err := json.Unmarshal([]byte(asJSON(r)), &out); err != nil {
		panic(err)
	}
	return out
}

func fields(rs ...result) []string {
	var out []string
	for _, r := range rs {
		for f := range r {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// value returns a field; lists that are not there are empty.
func value(r result, field string) any {
	if v, ok := r[field]; ok && v != nil {
		return v
	}
	switch field {
	case "out", "err", "back", "packets":
		return []any{}
	}
	return nil
}

// compareField returns "" or a short reason: recorded / played.
func compareField(field string, want, got any, s step) string {
	args := strings.Join(s.list("args"), " ")
	switch field {
	case "out", "err":
		if want == nil || got == nil {
			break
		}
		w, g := plain(want), plain(got)
		switch {
		case field == "out" && strings.Contains(args, "--rate") && !strings.Contains(args, "--stats"):
			return compareRates(w, g)
		case field == "out" && strings.Contains(args, "--nosort"):
			w, g = blocks(w), blocks(g)
		}
		return compareText(w, g)
	case "back", "packets", "dip_side", "sent":
		if want == nil || got == nil {
			break
		}
		return compareLines(starred(want), starred(got))
	case "picks":
		return comparePicks(texts(want), texts(got))
	}
	if w, g := asJSON(want), asJSON(got); w != g {
		return w + " / " + g
	}
	return ""
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = fmt.Sprint(e)
		}
		return out
	}
	return nil
}

func plain(v any) []string {
	out := texts(v)
	for i, l := range out {
		out[i] = programs.ReplaceAllString(l, "@")
	}
	return out
}

func starred(v any) []string {
	out := texts(v)
	for i, l := range out {
		out[i] = sequence.ReplaceAllStringFunc(l, func(m string) string {
			if strings.Contains(m, "s+") {
				return m
			}
			return m[:4] + "*"
		})
	}
	return out
}

func compareLines(want, got []string) string {
	for i := range max(len(want), len(got)) {
		w, g := lineOr(want, i), lineOr(got, i)
		if w != g {
			return fmt.Sprintf("line %d: %q / %q", i+1, w, g)
		}
	}
	return ""
}

func lineOr(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "<end>"
}

// connection is a row of -Lnc, its expiry in seconds apart.
type connection struct {
	row     string
	expires int
}

// rows splits a listing into connections and the other lines.
func rows(lines []string) (conns []connection, other []string) {
	for _, l := range lines {
		m := connRow.FindStringSubmatch(l)
		if m == nil {
			other = append(other, l)
			continue
		}
		expires := 0
		for _, part := range m[2:5] {
			if n, err := strconv.Atoi(part); err == nil {
				expires = expires*60 + n
			}
		}
		conns = append(conns, connection{m[1] + " " + strings.Join(strings.Fields(m[5]), " "), expires})
	}
	slices.SortFunc(conns, func(a, b connection) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.expires, b.expires))
	})
	return conns, other
}

// compareText compares program output: connections as a set with their expiry,
// everything else line by line.
func compareText(want, got []string) string {
	wc, wo := rows(want)
	gc, g := rows(got)
	if reason := compareLines(wo, g); reason != "" {
		return reason
	}
	for i := range max(len(wc), len(gc)) {
		switch {
		case i >= len(wc) || i < len(gc) && gc[i].row < wc[i].row:
			return "only played: " + gc[i].row
		case i >= len(gc) || wc[i].row < gc[i].row:
			return "only recorded: " + wc[i].row
		case wc[i].expires-gc[i].expires > expirySlack || gc[i].expires-wc[i].expires > expirySlack:
			return fmt.Sprintf("expiry of %q: %d s / %d s", wc[i].row, wc[i].expires, gc[i].expires)
		}
	}
	return ""
}

// compareRates compares the labels of --rate; its numbers depend on the moment.
func compareRates(want, got []string) string {
	label := func(lines []string) (out []string) {
		for _, l := range lines {
			if m := rates.FindStringSubmatch(l); m != nil {
				l = m[1]
			}
			out = append(out, l)
		}
		return out
	}
	return compareLines(label(want), label(got))
}

// blocks makes the services of an unsorted listing a set (their order is a
// hash's); the servers in each keep theirs.
func blocks(lines []string) []string {
	n := min(len(lines), 3)
	var services []string
	for _, l := range lines[n:] {
		if strings.HasPrefix(l, " ") && services != nil {
			services[len(services)-1] += "\n" + l
		} else {
			services = append(services, l)
		}
	}
	slices.Sort(services)
	return append(slices.Clone(lines[:n]), strings.Split(strings.Join(services, "\n"), "\n")...)
}

func comparePicks(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	return fmt.Sprintf("pick %d: %s / %s", i+1, lineOr(want, i), lineOr(got, i))
}
