package words

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"natlb/internal/control"
	"natlb/internal/ipvsadm"
	"natlb/internal/rules"
	"natlb/ipvs"
)

// TestJSONDocument: docs/json.md names the fields that natlb prints, and no
// others. Each command is run against a director that has something of
// everything.
func TestJSONDocument(t *testing.T) {
	document, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := readTables(string(document))
	d := newDirector()
	d.odd = true
	socket := d.serve(t)
	rules := t.TempDir() + "/rules"
	if err := os.WriteFile(rules, []byte(wantedRules), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for title := range tables {
		command, ok := strings.CutPrefix(title, "`natlb ")
		if !ok {
			continue
		}
		commands++
		command = strings.ReplaceAll(strings.Trim(command, "`"), "FILE", rules)
		t.Run(strings.Fields(command)[0], func(t *testing.T) {
			documented := map[string]bool{}
			tables.expand(t, title, "", documented)
			text := execute(t, socket, command)
			var object map[string]any
			if err := json.Unmarshal([]byte(text), &object); err != nil {
				t.Fatalf("natlb %s prints no JSON: %v\n%s", command, err, text)
			}
			printed := map[string]bool{}
			paths(object, "", printed)
			if strings.HasPrefix(command, "apply") {
				paths(refusedToday(t), "", printed)
			}
			for _, p := range slices.Sorted(maps.Keys(printed)) {
				emptyList := strings.HasPrefix(next(documented, p), p+"[]")
				if !documented[p] && !emptyList {
					t.Errorf("natlb %s prints %s, which docs/json.md does not have", command, p)
				}
			}
			for _, p := range slices.Sorted(maps.Keys(documented)) {
				if !printed[p] {
					t.Errorf("natlb %s does not print %s, which docs/json.md has", command, p)
				}
			}
			if object["schema"] != float64(ipvsadm.Schema) || !strings.HasPrefix(text, `{"schema":1,`) {
				t.Errorf("natlb %s: no schema at the head of %.40s", command, text)
			}
		})
	}
	if commands < 10 {
		t.Errorf("docs/json.md has %d commands", commands)
	}
}

// next returns the first of paths that is not before p.
func next(paths map[string]bool, p string) string {
	sorted := slices.Sorted(maps.Keys(paths))
	i, _ := slices.BinarySearch(sorted, p)
	return append(sorted, "")[i]
}

// refusedToday is a difference with what this version of natlb does not take.
func refusedToday(t *testing.T) (object map[string]any) {
	t.Helper()
	full := newDirector().services[0].Service
	var out strings.Builder
	err := printDiff(&out, &rules.Diff{Changes: []ipvs.Change{{Kind: ipvs.AddService, Service: full}}}, false)
	if err == nil {
		err = json.Unmarshal([]byte(out.String()), &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// execute runs a command line as cmd/natlb does.
func execute(t *testing.T, socket, command string) string {
	t.Helper()
	args := strings.Fields(command)
	var out, errs strings.Builder
	status := 0
	if strings.HasPrefix(args[0], "-") {
		client := control.Dial(socket)
		defer client.Close()
		env := &ipvsadm.Env{Prog: "natlb", Stdout: &out, Stderr: &errs, Client: client}
		status = ipvsadm.Run(context.Background(), env, args)
	} else {
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Version: "test"}
		status = New(env).Run(context.Background(), append(args, "--socket", socket))
	}
	if status != 0 && status != statusDiffers {
		t.Fatalf("natlb %s ends with %d: %s", command, status, &errs)
	}
	return out.String()
}

// paths collects the paths of all fields of a JSON value; a list adds [] to its
// own unless it is empty.
func paths(v any, at string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			path := strings.TrimPrefix(at+"."+name, ".")
			if list, ok := x.([]any); ok && len(list) > 0 {
				path += "[]"
			}
			if _, nested := x.(map[string]any); !nested || path == "director" {
				into[path] = true
			}
			paths(x, path, into)
		}
	case []any:
		for _, x := range v {
			if _, nested := x.(map[string]any); nested {
				delete(into, at)
			}
			paths(x, at, into)
		}
	}
}

// tablesOf are the rows of each section: field and what it is.
type tablesOf map[string][][2]string

var tableRow = regexp.MustCompile("^\\| (`[^`]+`|\\(inline\\)) \\| ([^|]*) \\|")

func readTables(document string) tablesOf {
	tables, title := tablesOf{}, ""
	for line := range strings.Lines(document) {
		if t, ok := strings.CutPrefix(line, "### "); ok {
			title = strings.TrimSpace(t)
		}
		if m := tableRow.FindStringSubmatch(line); m != nil {
			tables[title] = append(tables[title], [2]string{strings.Trim(m[1], "`"), strings.TrimSpace(m[2])})
		}
	}
	return tables
}

var shape = regexp.MustCompile(`^\[[a-z]+\]\(#([a-z]+)\)$`)

// expand collects the paths that a section documents.
func (tables tablesOf) expand(t *testing.T, title, at string, into map[string]bool) {
	t.Helper()
	if len(tables[title]) == 0 {
		t.Fatalf("docs/json.md has no table %q", title)
	}
	for _, row := range tables[title] {
		path := strings.TrimPrefix(at+"."+row[0], ".")
		if row[0] == "(inline)" {
			path = at
		}
		if m := shape.FindStringSubmatch(row[1]); m != nil {
			tables.expand(t, m[1], path, into)
			continue
		}
		into[path] = true
	}
}
