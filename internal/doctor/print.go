package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// Schema is the version of the JSON that the doctor writes.
const Schema = 1

// answer is the JSON.
type answer struct {
	Schema   int       `json:"schema"`
	Natlb    string    `json:"natlb"`
	Director bool      `json:"director"` // one is running
	Faults   int       `json:"faults"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
}

// WriteJSON writes findings as one JSON object.
func WriteJSON(w io.Writer, f *Facts, findings []Finding) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(answer{
		Schema, f.Natlb, f.Director != nil, Count(findings, Fault), Count(findings, Warning), findings,
	})
}

// WriteText writes one line for each finding, below each fault its cure, and a
// last line with the numbers.
func WriteText(w io.Writer, findings []Finding) error {
	for i := range findings {
		x := &findings[i]
		subject := x.Subject
		if subject != "" {
			subject += ": "
		}
		if _, err := fmt.Fprintf(w, "%-8s %-12s %s%s\n", x.Level, x.Check, subject, x.Text); err != nil {
			return err
		}
		if x.Cure != "" {
			if _, err := fmt.Fprintf(w, "         cure: %s\n", x.Cure); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s\n", counted(len(findings), "fact"),
		counted(Count(findings, Fault), "fault"), counted(Count(findings, Warning), "warning"))
	return err
}
