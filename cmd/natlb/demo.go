package main

import (
	"os"

	"github.com/spf13/cobra"

	"natlb/internal/demo"
)

// self is the running binary: the demo starts it again, as director and as
// ipvsadm.
const self = "/proc/self/exe"

func demoCommand(exit *exitStatus) *cobra.Command {
	return &cobra.Command{
		Use:                "demo [--once | --shell] [--plain]",
		Short:              "play the classic LVS course in a lab of its own, without root",
		DisableFlagParsing: true, // the demo is also called inside its own namespaces
		Run: func(cmd *cobra.Command, args []string) {
			*exit = exitStatus(demo.Main(cmd.Context(), args, self, os.Stdout, os.Stderr))
		},
	}
}
