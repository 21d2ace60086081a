package words

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"natlb/internal/ipvsadm"
	"natlb/internal/terminal"
)

// mostFaults is how many faults of a file are told: more is another kind of file.
const mostFaults = 20

// tellFaults writes the faults of a rules file as "file:line:column: what", each
// with its hint; on a terminal with the line itself and a mark under the word.
func tellFaults(to io.Writer, faults ipvsadm.RuleFaults) {
	w := bufio.NewWriter(to)
	defer w.Flush()
	caret := terminal.Is(to)
	for i := range faults {
		f := &faults[i]
		if i == mostFaults {
			fmt.Fprintf(w, "and %d more\n", len(faults)-i)
			break
		}
		fmt.Fprintln(w, harmless(f.Error()))
		if caret {
			fmt.Fprintf(w, "  %s\n  %s%s\n", harmless(f.Text), strings.Repeat(" ", f.Column-1), strings.Repeat("^", f.Width))
		}
		if next := i + 1; f.Hint != "" && (next == len(faults) || next == mostFaults || faults[next].Hint != f.Hint) {
			fmt.Fprintln(w, "hint: "+harmless(f.Hint)) // once for faults in a row that share it
		}
	}
}
