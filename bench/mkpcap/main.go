// Command mkpcap writes the captures that natlb replay is measured with, one for
// each side of a director, and the rules that belong to them:
//
//	go run ./bench/mkpcap -mb 1000 out/big    makes out/big.vip.pcap, out/big.dip.pcap and out/big.rules
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"natlb/internal/packettest"
	"natlb/internal/pcapfile"
)

func main() {
	mb := flag.Int64("mb", 1000, "megabytes of both captures together")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkpcap [-mb 1000] NAME")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), *mb*1e6); err != nil {
		fmt.Fprintln(os.Stderr, "mkpcap:", err)
		os.Exit(1)
	}
}

func write(name string, size int64) error {
	if err := os.WriteFile(name+".rules", []byte(packettest.SyntheticRules), 0o666); err != nil {
		return err
	}
	var sides [2]*pcapfile.Writer
	for i, side := range []string{"vip", "dip"} {
		f, err := os.Create(name + "." + side + ".pcap")
		if err != nil {
			return err
		}
		defer f.Close()
		sides[i] = pcapfile.NewWriter(f, pcapfile.Ethernet)
	}
	const start = 1_700_000_000e9
	var s packettest.Synthetic
	for size > 0 {
		at, frame, fromServer := s.Next()
		w := sides[0]
		if fromServer {
			w = sides[1]
		}
		if err := w.Write(&pcapfile.Packet{Data: frame, Time: start + int64(at)}); err != nil {
			return err
		}
		size -= int64(len(frame)) + 16
	}
	return errors.Join(sides[0].Flush(), sides[1].Flush())
}
