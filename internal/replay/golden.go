package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"natlb/internal/pcapfile"
)

// Names of the files in a golden folder: what the director sent on each side,
// and the result as JSON.
const (
	goldenVIP    = "sent-vip.pcap"
	goldenDIP    = "sent-dip.pcap"
	goldenResult = "result.json"
)

// Golden is a stored replay that another one is compared with: a [Sink] for the
// packets, and Check for the tables. It holds no more than one packet at a time.
type Golden struct {
	dir   string
	files [2]*os.File
	sides [2]goldenSide
	first *Difference
}

type goldenSide struct {
	reader *pcapfile.Reader
	stored pcapfile.Packet
	number int
}

// OpenGolden opens the folder of a stored replay.
func OpenGolden(dir string) (*Golden, error) {
	g := &Golden{dir: dir}
	for link, name := range []string{VIPLink: goldenVIP, DIPLink: goldenDIP} {
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			g.files[link] = f
			g.sides[link].reader, err = pcapfile.NewReader(f)
		}
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("stored replay: %w", err)
		}
	}
	return g, nil
}

// Close closes the files.
func (g *Golden) Close() {
	for _, f := range g.files {
		if f != nil {
			f.Close()
		}
	}
}

// Packet implements [Sink]: it compares the packet with the stored one whose turn
// it is. After the first difference it looks at nothing more.
func (g *Golden) Packet(link uint8, p *pcapfile.Packet, why func() string) error {
	if g.first != nil {
		return nil
	}
	s := &g.sides[link]
	s.number++
	stored := &s.stored
	switch err := s.reader.Next(stored); {
	case errors.Is(err, io.EOF):
		stored = nil
	case err != nil:
		return fmt.Errorf("%s: %w", g.files[link].Name(), err)
	case stored.Time == p.Time && stored.WireLen == p.WireLen && bytes.Equal(stored.Data, p.Data):
		return nil
	}
	g.first = &Difference{
		Side: Side(link).String(), Number: s.number, Time: p.When().Format(time.RFC3339Nano), Why: why(), Rows: compare(stored, p),
	}
	return nil
}

// Check compares the stored replay with the one that has sent its packets to g
// and come to the result r.
func (g *Golden) Check(r *Result) (*Comparison, error) {
	for link := range g.sides {
		if err := g.missing(link); err != nil {
			return nil, err
		}
	}
	want, err := os.ReadFile(filepath.Join(g.dir, goldenResult))
	if err != nil {
		return nil, fmt.Errorf("stored replay: %w", err)
	}
	got, err := r.JSON()
	if err != nil {
		return nil, err
	}
	tables, err := compareJSON(want, got)
	if err != nil {
		return nil, err
	}
	return &Comparison{Schema: Schema, Same: g.first == nil && len(tables) == 0, Packet: g.first, Tables: tables}, nil
}

// missing looks for stored packets that the replay has not sent.
func (g *Golden) missing(link int) error {
	s := &g.sides[link]
	if g.first != nil {
		return nil
	}
	switch err := s.reader.Next(&s.stored); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", g.files[link].Name(), err)
	}
	g.first = &Difference{
		Side: Side(link).String(), Number: s.number + 1, Time: s.stored.When().Format(time.RFC3339Nano), Rows: compare(&s.stored, nil),
	}
	return nil
}

// compareJSON returns where two documents differ, a line each.
func compareJSON(want, got []byte) (lines []string, err error) {
	var a, b any
	for _, x := range []struct {
		text []byte
		into *any
	}{{want, &a}, {got, &b}} {
		d := json.NewDecoder(bytes.NewReader(x.text))
		d.UseNumber()
		if err := d.Decode(x.into); err != nil {
			return nil, fmt.Errorf("stored result: %w", err)
		}
	}
	diffJSON("", a, b, &lines)
	return lines, nil
}

// Update is a Sink that stores a replay in a folder. What is there stays as it is
// until Keep: a replay that fails changes nothing.
type Update struct {
	*Files
	dir string
}

const unfinished = ".new"

// StartUpdate makes the folder if need be, and begins new files in it.
func StartUpdate(dir string) (*Update, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	files, err := Create(filepath.Join(dir, goldenVIP+unfinished), filepath.Join(dir, goldenDIP+unfinished))
	if err != nil {
		return nil, err
	}
	return &Update{files, dir}, nil
}

// Keep puts the new files and the result in the place of the old ones.
func (u *Update) Keep(r *Result) error {
	text, err := r.JSON()
	if err != nil {
		return err
	}
	if err := u.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(u.dir, goldenResult+unfinished), text, 0o666); err != nil {
		return err
	}
	for _, name := range []string{goldenVIP, goldenDIP, goldenResult} {
		if err := os.Rename(filepath.Join(u.dir, name+unfinished), filepath.Join(u.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes the new files of a replay that failed.
func (u *Update) Forget() {
	u.Close()
	for _, name := range []string{goldenVIP, goldenDIP, goldenResult} {
		os.Remove(filepath.Join(u.dir, name+unfinished))
	}
}
