package main

import (
	"os"

	"github.com/spf13/cobra"

	"natlb/internal/demo"
	"natlb/internal/words"
)

// self is the running binary: the demo starts it again, as director and as
// ipvsadm.
const self = "/proc/self/exe"

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "demo [--once | --shell] [--plain]",
		Short:              "play the classic LVS course in a lab of its own, without root",
		DisableFlagParsing: true, // the demo is also called inside its own namespaces
		RunE: func(cmd *cobra.Command, args []string) error {
			if status := demo.Main(cmd.Context(), args, self, os.Stdout, os.Stderr); status != 0 {
				return words.Exit(status)
			}
			return nil
		},
	}
}
