package words

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"natlb/internal/control"
	"natlb/internal/terminal"
)

func (e *Env) capture() *cobra.Command {
	var choice filterFlags
	var want control.Capture
	var path string
	var asJSON bool
	size := byteSize(100 << 20)
	cmd := &cobra.Command{
		Use:   "capture --out FILE",
		Short: "a pcapng file of frames at work, each with its verdict",
		Long: "A pcapng file of frames as they came and as they were sent, on all interfaces of the director, each with a\n" +
			"comment that Wireshark shows: verdict, connection, and what picked the server. With a filter: those of its\n" +
			"connections, and packets without a connection that have its addresses. It ends at a limit or with Ctrl-C.\n" +
			"natlb replay --both plays it. \"--out -\" is for a pipe: natlb capture --out - | wireshark -k -i -",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			switch {
			case path == "":
				return usage(cmd, errors.New("--out FILE says where to, - is standard output"))
			case path == "-" && terminal.Is(e.Stdout):
				return usage(cmd, errors.New("--out - would fill the terminal with bytes: it is for a pipe or a file"))
			case path == "-" && asJSON:
				return usage(cmd, errors.New("--json and --out - want the same output"))
			case want.Frames < 0 || want.Snap < 0 || want.For < 0:
				return usage(cmd, errors.New("a limit is a number from 0 on, where 0 is none"))
			}
			if want.Filter, err = choice.filter(cmd.Context()); err != nil {
				return usage(cmd, err)
			}
			want.Bytes = int64(size)
			client := e.dial()
			defer client.Close()
			var file *os.File
			done, err := client.Capture(cmd.Context(), want, func() (io.Writer, error) {
				if path == "-" {
					return e.Stdout, nil
				}
				if file, err = os.Create(path); err != nil {
					return nil, err
				}
				if !asJSON {
					fmt.Fprintf(e.Stderr, "capturing; it ends %swith Ctrl-C\n", limits(&want))
				}
				return file, nil
			})
			if file != nil {
				err = errors.Join(err, file.Close())
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e.Stdout, captureJSON{path, done.Received, done.Sent, done.Lost, done.Ended})
			}
			fmt.Fprintf(e.Stderr, "%d frames received, %d sent, %d lost%s\n", done.Received, done.Sent, done.Lost, endText[done.Ended])
			return nil
		},
	}
	choice.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&path, "out", "o", "", "the `FILE`, - for standard output")
	f.StringSliceVar(&want.Verdicts, "verdict", nil, "only frames with these `VERDICTS`, by comma: names of natlb drops, or drop-*")
	f.IntVarP(&want.Frames, "count", "c", 0, "end after so many frames")
	f.VarP(&size, "size", "s", "end when the file has so many `BYTES` (K, M, G), 0: never")
	f.DurationVar(&want.For, "for", 10*time.Minute, "end after this time, 0: never")
	f.IntVar(&want.Snap, "snap", 0, "keep so many bytes of a frame, 0: all")
	f.BoolVar(&asJSON, "json", false, "say what was captured as JSON")
	return e.talks(cmd)
}

type captureJSON struct {
	File     string `json:"file"`
	Received uint64 `json:"received"`
	Sent     uint64 `json:"sent"`
	Lost     uint64 `json:"lost"`
	Ended    string `json:"ended"` // frames, bytes, time, director; empty: by a signal
}

var endText = map[string]string{
	"frames": "; all that were asked for", "bytes": "; the file has the size that was asked for", "time": "; its time is up",
	"director": "; the director has ended",
}

// limits says when a capture ends by itself.
func limits(want *control.Capture) (text string) {
	if want.Frames > 0 {
		text += fmt.Sprintf("after %d frames, ", want.Frames)
	}
	if want.Bytes > 0 {
		text += fmt.Sprintf("at %v bytes, ", byteSize(want.Bytes))
	}
	if want.For > 0 {
		text += fmt.Sprintf("after %v, ", want.For)
	}
	if text == "" {
		return ""
	}
	return text + "or "
}

// byteSize is a number of bytes on the command line, with K, M or G (powers of
// 1024).
type byteSize int64

var byteUnits = []struct {
	word string
	size byteSize
}{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// String returns the size as Set reads it.
func (s byteSize) String() string {
	for _, u := range byteUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.word
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Set reads a size.
func (s *byteSize) Set(text string) error {
	unit := byteSize(1)
	number := strings.ToUpper(text)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(number, u.word); ok {
			number, unit = n, u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<62/int64(unit) {
		return errors.New("it takes a number of bytes as 500000, 64K, 100M or 2G")
	}
	*s = byteSize(n) * unit
	return nil
}

// Type implements pflag.Value.
func (s *byteSize) Type() string { return "BYTES" }
