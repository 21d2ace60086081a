package words

import (
	"errors"

	"github.com/spf13/cobra"

	"natlb/internal/ipvsadm"
)

// hinted is a fault with what helps against it.
type hinted struct {
	error
	hint string
}

// Unwrap returns the fault.
func (h hinted) Unwrap() error { return h.error }

// hintOf returns the line that goes below a fault: its own hint, or the one that
// every face of natlb gives; "" if there is none.
func hintOf(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ipvsadm.Hint(err)
}

// usage is a fault of the command line of cmd: it names where the right one is
// found.
func usage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return hinted{err, cmd.CommandPath() + " --help says what it takes"}
}
