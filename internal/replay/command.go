package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"natlb/internal/ipvsadm"
	"natlb/internal/pcapfile"
)

// Command is natlb replay with its flags.
type Command struct {
	Config                  // Rules, Inputs, Sink and the callbacks are the command's own business
	RulesFiles     []string // one; with Compare two
	VIP, DIP, Both []string // captures
	OutVIP, OutDIP string
	JSON, Events   bool
	Rows           int    // connections that the text shows; 0: all that are kept
	Expect         string // folder of a stored replay
	Update         bool   // store it
	Compare        bool   // replay by two policies
	HTML           string // file for the picture of that
}

// ErrDiffers is the end of a replay that was not as stored, and has said how.
var ErrDiffers = errors.New("the replay is not as stored")

// Hint is an error with what helps against it.
type Hint struct {
	Err  error
	Text string
}

// Error returns the error's own text.
func (h *Hint) Error() string { return h.Err.Error() }

// Unwrap returns the error.
func (h *Hint) Unwrap() error { return h.Err }

func hint(err error, text string) error {
	if err == nil {
		return nil
	}
	return &Hint{err, text}
}

// Run replays and writes what the flags ask for to stdout; on a terminal a bar
// goes to stderr meanwhile. Faults that somebody can mend are a [Hint].
func (c *Command) Run(ctx context.Context, stdout io.Writer, stderr *os.File) (err error) {
	if err := c.checkFlags(); err != nil {
		return err
	}
	if c.Compare {
		return c.compare(ctx, stdout, stderr)
	}
	if c.Config.Rules, err = readRules(c.RulesFiles[0]); err != nil {
		return err
	}
	defer c.closeInputs()
	if err := c.open(); err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	var bar *bar
	if c.Events {
		log := eventLog{out: out, json: c.JSON}
		c.Event = log.write
	} else if bar = newBar(stderr); bar != nil { // events would be drawn over
		c.Progress = bar.draw
	}
	if !c.JSON && c.Expect == "" {
		c.Keep = max(c.Rows, 0) // and not the memory that the others take
	}
	result, same, err := c.play(ctx)
	bar.clear()
	if err != nil {
		return err
	}
	if err := c.print(out, result, same); err != nil {
		return err
	}
	if same != nil && !same.Same {
		return ErrDiffers
	}
	return nil
}

func (c *Command) checkFlags() error {
	switch {
	case len(c.VIP)+len(c.DIP)+len(c.Both) == 0:
		return hint(errors.New("no capture to replay"), "--vip vip.pcap is what clients sent, --dip dip.pcap what servers sent, --both any.pcap a capture of the director itself")
	case len(c.RulesFiles) == 0:
		return hint(errors.New("no rules to replay by"), rulesHint)
	case c.Compare:
		return c.checkCompare()
	case len(c.RulesFiles) > 1:
		return hint(errors.New("more than one file of rules"), "--compare says how two policies differ")
	case c.HTML != "":
		return hint(errors.New("--html without --compare"), "the picture is that of two policies, --rules A --rules B --compare")
	case standardInputs(c.VIP, c.DIP, c.Both) > 1:
		return hint(errors.New("standard input is one capture"), "each but one must be a file")
	case c.Update && c.Expect == "":
		return hint(errors.New("--update without --expect"), "--expect DIR names the folder of the stored replay")
	}
	return nil
}

// SetFTPPorts says which virtual ports get the FTP helper.
func (c *Command) SetFTPPorts(ports []int) error {
	c.FTPPorts = nil
	for _, p := range ports {
		if p < 1 || p > 65535 {
			return hint(fmt.Errorf("--ftp-ports %d", p), "ports are 1 to 65535")
		}
		c.FTPPorts = append(c.FTPPorts, uint16(p))
	}
	return nil
}

const rulesHint = "--rules takes what natlb save or natlb -S -n writes"

func standardInputs(lists ...[]string) (n int) {
	for _, list := range lists {
		for _, path := range list {
			if path == standardInput {
				n++
			}
		}
	}
	return n
}

func readRules(file string) (*ipvsadm.Rules, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, hint(fmt.Errorf("rules: %w", err), rulesHint)
	}
	defer f.Close()
	return ipvsadm.ParseRules(f, file)
}

// open opens the captures, and sees that none of them is written over.
func (c *Command) open() error {
	for side, paths := range [][]string{VIPSide: c.VIP, DIPSide: c.DIP, BothSides: c.Both} {
		for _, path := range paths {
			in, err := Open(path, Side(side))
			if errors.Is(err, pcapfile.ErrFormat) {
				return hint(err, "captures are pcap or pcapng, as tcpdump -w and Wireshark write them")
			}
			if err != nil {
				return err
			}
			c.Inputs = append(c.Inputs, in)
			for _, out := range []string{c.OutVIP, c.OutDIP, c.HTML} {
				if in.is(out) {
					return hint(fmt.Errorf("%s is a capture to read", out), "nothing was written; name another file")
				}
			}
		}
	}
	return nil
}

func (c *Command) closeInputs() {
	for _, in := range c.Inputs {
		in.Close()
	}
}

// play replays with all sinks that the flags ask for, and compares.
func (c *Command) play(ctx context.Context) (r *Result, same *Comparison, err error) {
	files, err := Create(c.OutVIP, c.OutDIP)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	switch {
	case c.Update:
		r, err = c.store(ctx, files)
	case c.Expect != "":
		r, same, err = c.check(ctx, files)
	default:
		c.Sink = files
		r, err = Run(ctx, c.Config)
	}
	return r, same, err
}

// store replays and keeps the replay.
func (c *Command) store(ctx context.Context, files Sink) (*Result, error) {
	u, err := StartUpdate(c.Expect)
	if err != nil {
		return nil, err
	}
	c.Sink = Sinks{files, u}
	r, err := Run(ctx, c.Config)
	if err == nil {
		err = u.Keep(r)
	}
	if err != nil {
		u.Forget()
	}
	return r, err
}

// check replays and compares with the stored replay.
func (c *Command) check(ctx context.Context, files Sink) (*Result, *Comparison, error) {
	g, err := OpenGolden(c.Expect)
	if err != nil {
		return nil, nil, hint(err, "--update stores this replay there")
	}
	defer g.Close()
	c.Sink = Sinks{files, g}
	r, err := Run(ctx, c.Config)
	if err != nil {
		return nil, nil, err
	}
	same, err := g.Check(r)
	return r, same, err
}

// printer is what can be written for people; programs get it as JSON.
type printer interface{ WriteText(w io.Writer) error }

// print writes the result, or of a comparison what came of that.
func (c *Command) print(out io.Writer, r *Result, same *Comparison) error {
	var what printer = resultText{r, c.Rows}
	var data any = r
	if same != nil {
		what, data = same, same
	}
	if c.Events && !c.JSON {
		fmt.Fprintln(out)
	}
	return c.write(out, what, data)
}

// write writes the one or the other.
func (c *Command) write(out io.Writer, what printer, data any) error {
	if !c.JSON {
		return what.WriteText(out)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if !c.Events { // in a stream every object is a line
		e.SetIndent("", "  ")
	}
	return e.Encode(data)
}

type resultText struct {
	*Result
	rows int
}

func (t resultText) WriteText(w io.Writer) error { return t.Result.WriteText(w, t.rows) }
