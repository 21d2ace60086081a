package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/daemon"
)

func runCommand() *cobra.Command {
	cfg := daemon.Config{Guard: daemon.GuardAuto, Polling: daemon.DefaultPolling, Version: version}
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
			hangups, forget := outlive()
			defer forget()
			cfg.Reload = hangups
			return daemon.Run(cmd.Context(), cfg)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.VIPLinks, "vip-if", nil, "interface towards the clients (may be repeated)")
	f.StringSliceVar(&cfg.DIPLinks, "dip-if", nil, "interface towards the real servers (may be repeated, may be the same)")
	f.StringVar(&cfg.Rules, "rules", "", "rules file to start with (natlb save writes one); SIGHUP applies it again as natlb apply does")
	f.StringVar(&cfg.Socket, "socket", "", "control socket (default $NATLB_SOCKET, else "+control.DefaultSocket+")")
	f.BoolVar(&cfg.NoRoute, "no-route", false, "do not route what real servers send outside of connections")
	f.StringVar((*string)(&cfg.Guard), "guard", string(cfg.Guard), "keep the host's kernel out of the way: auto, nft or none")
	f.IntSliceVar(&cfg.FTPPorts, "ftp-ports", []int{21}, "virtual ports of FTP services, whose data connections natlb follows (at most 8)")
	f.BoolVar(&noFTP, "no-ftp", false, "do not follow the data connections of FTP")
	f.IntVar(&cfg.MaxConns, "max-conns", 0, "cap on connections (default: what fits into a quarter of the memory)")
	f.StringVar((*string)(&cfg.Polling), "poll", string(cfg.Polling), "wait for frames asleep (idle), looking for a moment first (adaptive), or never asleep (busy)")
	f.IntVar(&cfg.Ring, "ring", daemon.RingBySpeed, "frames that a link's receive ring holds, 2 KiB each, divided among shards, within a sixteenth of the memory for all; 0: no ring, -1: by the link's speed")
	f.BoolVar(&cfg.MergeUDP, "merge-datagrams", false, "send neighbouring datagrams of a flow as one super-packet, as is done with TCP")
	f.IntVar(&cfg.Shards, "shards", 0, "threads that share the clients among them (default: half of the processors)")
	f.BoolVar(&cfg.Quiesce, "quiesce-unreachable", false, "no new connections for real servers that cannot be reached (sysctl quiesce_unreachable, whose default this makes 1)")
	f.BoolVar(&debug, "debug", false, "log more")
	return cmd
}
