package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"natlb/internal/pcapfile"
)

// Files is a Sink that writes captures, one for each side.
type Files struct {
	files   [2]*os.File
	writers [2]*pcapfile.Writer
	comment [2]bool
}

// Create makes the files; an empty path makes none. A path that ends in .pcapng
// gets the format of that name, in which every packet has a comment: the
// verdict and the connection.
func Create(vip, dip string) (*Files, error) {
	o := new(Files)
	for link, path := range []string{VIPLink: vip, DIPLink: dip} {
		if path == "" {
			continue
		}
		f, err := os.Create(path)
		if err != nil {
			o.Close()
			return nil, err
		}
		o.files[link] = f
		if o.comment[link] = strings.HasSuffix(path, ".pcapng"); o.comment[link] {
			o.writers[link] = pcapfile.NewNGWriter(f, pcapfile.Ethernet, Side(link).String())
		} else {
			o.writers[link] = pcapfile.NewWriter(f, pcapfile.Ethernet)
		}
	}
	return o, nil
}

// Packet implements [Sink].
func (o *Files) Packet(link uint8, p *pcapfile.Packet, why func() string) error {
	switch w := o.writers[link]; {
	case w == nil:
		return nil
	case o.comment[link]:
		return w.Write(p, why())
	default:
		return w.Write(p)
	}
}

// Close writes out what is left and closes the files.
func (o *Files) Close() (err error) {
	for link, f := range o.files {
		if w := o.writers[link]; w != nil {
			err = errors.Join(err, w.Flush())
		}
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// Sinks hands packets to several sinks.
type Sinks []Sink

// Packet implements [Sink].
func (all Sinks) Packet(link uint8, p *pcapfile.Packet, why func() string) error {
	for _, s := range all {
		if err := s.Packet(link, p, why); err != nil {
			return err
		}
	}
	return nil
}

// JSON returns the result as text, indented, with a line feed at its end.
func (r *Result) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return b.Bytes(), nil
}
