package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/daemon"
	"natlb/ipvs"
)

// words are natlb's own commands: a word, no dash.
type words struct {
	root *cobra.Command
	exit exitStatus
}

func newWords() *words {
	w := &words{root: &cobra.Command{
		Use:           "natlb",
		Short:         "IPVS in userspace: a NAT load balancer for a machine whose kernel has none",
		Long:          "natlb run is the director. natlb with ipvsadm's options (natlb -h) speaks to it.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}}
	w.root.CompletionOptions.HiddenDefaultCmd = true
	w.root.AddCommand(runCommand(), demoCommand(&w.exit), markCommand(), saveCommand(), sysctlCommand(), countersCommand(), versionCommand())
	return w
}

// knows reports whether word is one of the commands.
func (w *words) knows(word string) bool {
	if word == cobra.ShellCompRequestCmd || word == cobra.ShellCompNoDescRequestCmd {
		return true
	}
	w.root.InitDefaultHelpCmd()
	w.root.InitDefaultCompletionCmd(word)
	return slices.ContainsFunc(w.root.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
}

// run executes a command line that begins with a known word and returns the exit
// status.
func (w *words) run(ctx context.Context, args []string) int {
	w.root.SetArgs(args)
	if err := w.root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "natlb: %v\n", err)
		if errors.Is(err, ipvs.ErrDirectorNotRunning) {
			return 2
		}
		return 1
	}
	return int(w.exit)
}

// exitStatus is what a command ends with that reports its own faults.
type exitStatus int

func runCommand() *cobra.Command {
	cfg := daemon.Config{Guard: daemon.GuardAuto, Version: version}
	var debug, noFTP bool
	cmd := &cobra.Command{
		Use:   "run --vip-if IF --dip-if IF",
		Short: "run the director in the foreground",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if debug {
				level = slog.LevelDebug
			}
			cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			cfg.Socket = control.SocketPath(cfg.Socket)
			if noFTP {
				cfg.FTPPorts = nil
			}
			defer outlive(cfg.Log)()
			return daemon.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.VIPLinks, "vip-if", nil, "interface towards the clients (may be repeated)")
	f.StringSliceVar(&cfg.DIPLinks, "dip-if", nil, "interface towards the real servers (may be repeated, may be the same)")
	f.StringVar(&cfg.Rules, "rules", "", "rules file to start with: the lines of natlb -S")
	f.StringVar(&cfg.Socket, "socket", "", "control socket (default $NATLB_SOCKET, else "+control.DefaultSocket+")")
	f.BoolVar(&cfg.NoRoute, "no-route", false, "do not route what real servers send outside of connections")
	f.StringVar((*string)(&cfg.Guard), "guard", string(cfg.Guard), "keep the host's kernel out of the way: auto, nft or none")
	f.IntSliceVar(&cfg.FTPPorts, "ftp-ports", []int{21}, "virtual ports of FTP services, whose data connections natlb follows (at most 8)")
	f.BoolVar(&noFTP, "no-ftp", false, "do not follow the data connections of FTP")
	f.IntVar(&cfg.MaxConns, "max-conns", 0, "cap on connections (default: what fits into a quarter of the memory)")
	f.BoolVar(&debug, "debug", false, "log more")
	return cmd
}

func sysctlCommand() *cobra.Command {
	var socket string
	var all bool
	cmd := &cobra.Command{
		Use:   "sysctl [-a] [net.ipv4.vs.NAME[=VALUE] ...]",
		Short: "show or change the settings that IPVS has as sysctls",
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control.Dial(control.SocketPath(socket))
			defer client.Close()
			if all || len(args) == 0 {
				return listSysctls(cmd, client, nil)
			}
			for _, arg := range args {
				if err := sysctl(cmd, client, arg); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list all with their meaning")
	cmd.Flags().StringVar(&socket, "socket", "", "control socket of the director")
	return cmd
}

const sysctlPrefix = "net.ipv4.vs."

func sysctl(cmd *cobra.Command, client *control.Client, arg string) error {
	name, value, set := strings.Cut(arg, "=")
	name = strings.TrimPrefix(name, sysctlPrefix)
	if !set {
		return listSysctls(cmd, client, &name)
	}
	change := ipvs.Change{Kind: ipvs.SetSysctl, Name: name, Value: strings.TrimSpace(value)}
	return client.Apply(cmd.Context(), []ipvs.Change{change})
}

// listSysctls prints one setting, or all with default and meaning.
func listSysctls(cmd *cobra.Command, client *control.Client, name *string) error {
	settings, err := client.Sysctls(cmd.Context())
	if err != nil {
		return err
	}
	found := name == nil
	for _, s := range settings {
		switch {
		case name == nil:
			fmt.Fprintf(cmd.OutOrStdout(), "%s%s = %s  (default %s) %s\n", sysctlPrefix, s.Name, s.Value, s.Default, s.Meaning)
		case *name == s.Name:
			fmt.Fprintf(cmd.OutOrStdout(), "%s%s = %s\n", sysctlPrefix, s.Name, s.Value)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%w: %s%s", ipvs.ErrUnknownSysctl, sysctlPrefix, *name)
	}
	return nil
}

func countersCommand() *cobra.Command {
	var socket string
	var all bool
	cmd := &cobra.Command{
		Use:   "counters",
		Short: "what became of every frame received: verdicts and link counters",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control.Dial(control.SocketPath(socket))
			defer client.Close()
			counters, err := client.Counters(cmd.Context())
			if err != nil {
				return err
			}
			for _, c := range counters {
				if all || c.Count != 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%-32s %d\n", c.Name, c.Count)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those that are 0 too")
	cmd.Flags().StringVar(&socket, "socket", "", "control socket of the director")
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "natlb "+version) },
	}
}
