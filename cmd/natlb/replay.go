package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"natlb/internal/replay"
	"natlb/internal/words"
)

// replayDiffers is the exit status of a replay that is not as stored.
const replayDiffers = 3

func replayCommand() *cobra.Command {
	c := replay.Command{}
	var ftpPorts []int
	var noFTP bool
	cmd := &cobra.Command{
		Use:   "replay --rules RULES --vip vip.pcap [--dip dip.pcap]",
		Short: "run captures through the director, on their own clock",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if noFTP {
				ftpPorts = nil
			}
			err := c.SetFTPPorts(ftpPorts)
			if err == nil {
				err = c.Run(cmd.Context(), cmd.OutOrStdout(), os.Stderr)
			}
			var hint *replay.Hint
			switch {
			case errors.Is(err, replay.ErrDiffers):
				return words.Exit(replayDiffers)
			case errors.As(err, &hint):
				fmt.Fprintf(os.Stderr, "natlb: %v\nhint: %s\n", err, hint.Text)
				return words.Exit(1)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&c.RulesFiles, "rules", nil, "rules file: what natlb save or natlb -S -n writes (twice with --compare)")
	f.StringArrayVar(&c.VIP, "vip", nil, "capture of the VIP side (may be repeated; - is standard input)")
	f.StringArrayVar(&c.DIP, "dip", nil, "capture of the DIP side (may be repeated)")
	f.StringArrayVar(&c.Both, "both", nil, "capture of both sides, made on the director itself (tcpdump -i any; may be repeated)")
	f.StringVar(&c.OutVIP, "out-vip", "", "write what is sent on the VIP side here (.pcapng: with comments)")
	f.StringVar(&c.OutDIP, "out-dip", "", "write what is sent on the DIP side here")
	f.BoolVar(&c.JSON, "json", false, "print the result as JSON")
	f.BoolVar(&c.Events, "events", false, "print what happens to connections as it happens, and then the result")
	f.IntVar(&c.Rows, "conns", 40, "connections that are listed, the first ones; 0: 100,000, as with --json")
	f.StringVar(&c.Expect, "expect", "", "compare with the replay stored in this folder; exit status 3 and the first difference if it is not the same")
	f.BoolVar(&c.Update, "update", false, "store the replay in the folder of --expect")
	f.BoolVar(&c.Compare, "compare", false, "replay by the rules of two --rules and say how the balance differs")
	f.StringVar(&c.HTML, "html", "", "write the comparison as a page with charts here")
	f.StringVar(&c.VIPName, "vip-if", "vip", "name of the VIP side's interface, for natlb mark -i")
	f.StringVar(&c.DIPName, "dip-if", "dip", "name of the DIP side's interface")
	f.IntVar(&c.VIPVLAN, "vip-vlan", replay.AnyVLAN, "play only the packets of this VLAN of the VIP side; 0: untagged ones; -1: all")
	f.IntVar(&c.DIPVLAN, "dip-vlan", replay.AnyVLAN, "the same of the DIP side")
	f.IntVar(&c.MTU, "mtu", 0, "MTU of both sides in bytes (default: no limit, as captures have super-packets)")
	f.IntVar(&c.MaxConns, "max-conns", 0, "cap on connections (default a million)")
	f.BoolVar(&c.NoRoute, "no-route", false, "do not route what real servers send outside of connections")
	f.IntSliceVar(&ftpPorts, "ftp-ports", []int{21}, "virtual ports of FTP services, whose data connections natlb follows")
	f.BoolVar(&noFTP, "no-ftp", false, "do not follow the data connections of FTP")
	return cmd
}
