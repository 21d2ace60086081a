package words

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"natlb/internal/ipvsadm"
	"natlb/internal/terminal"
)

// tellFaults writes the faults of a rules file as "file:line:column: what", each
// with its hint; on a terminal with the line itself and a mark under the word.
func tellFaults(to io.Writer, faults ipvsadm.RuleFaults) {
	w := bufio.NewWriter(to)
	defer w.Flush()
	caret := terminal.Is(to)
	for i := range faults {
		f := &faults[i]
		fmt.Fprintln(w, harmless(f.Error()))
		if caret {
			fmt.Fprintf(w, "  %s\n  %s%s\n", harmless(f.Text), strings.Repeat(" ", f.Column-1), strings.Repeat("^", f.Width))
		}
		if f.Hint != "" {
			fmt.Fprintln(w, "hint: "+harmless(f.Hint))
		}
	}
}
