package words

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
)

// The names under which natlb is ipvsadm.
var linkNames = []string{"ipvsadm", "ipvsadm-save", "ipvsadm-restore"}

func (e *Env) link() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "link DIR",
		Short: "make links by which natlb is ipvsadm, -save and -restore",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			return e.makeLinks(program, args[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace files that are not links of natlb's")
	return cmd
}

// makeLinks makes all links or, when one of them would replace something that is
// not natlb's, none.
func (e *Env) makeLinks(program, dir string, force bool) error {
	if info, err := os.Stat(dir); err != nil {
		return hinted{err, "natlb link makes links, no directories"}
	} else if !info.IsDir() {
		return hinted{fmt.Errorf("%s is no directory", dir), "natlb link takes the directory for the links, such as /usr/local/sbin"}
	}
	there := make([]bool, len(linkNames))
	for i, name := range linkNames {
		var err error
		if there[i], err = mayLink(program, filepath.Join(dir, name), force); err != nil {
			return err
		}
	}
	for i, name := range linkNames {
		link := filepath.Join(dir, name)
		if there[i] {
			fmt.Fprintf(e.Stdout, "%s -> %s (was there)\n", link, program)
			continue
		}
		if err := replaceLink(program, link); err != nil {
			return err
		}
		fmt.Fprintf(e.Stdout, "%s -> %s\n", link, program)
	}
	switch found, err := exec.LookPath(linkNames[0]); {
	case err != nil:
		fmt.Fprintf(e.Stderr, "hint: %s is not in PATH\n", dir)
	case !sameFile(found, program):
		fmt.Fprintf(e.Stderr, "hint: PATH finds %s first\n", found)
	}
	return nil
}

// mayLink reports whether link is there already, pointing to program. It refuses
// to have anything replaced but a link of natlb's: one to a file of the same
// name, or to this very program. A directory stays even by force.
func mayLink(program, link string, force bool) (there bool, err error) {
	info, err := os.Lstat(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir():
		return false, hinted{fmt.Errorf("%s is a directory", link), "nothing was changed; move it away first"}
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(link)
		if err != nil || target == program {
			return err == nil, err
		}
		if filepath.Base(target) == filepath.Base(program) || sameFile(link, program) {
			return false, nil
		}
	}
	if !force {
		return false, hinted{fmt.Errorf("%s is there and is no link of natlb's", link), "nothing was changed; --force replaces it"}
	}
	return false, nil
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// replaceLink makes link point to program in one step: the name is never gone.
func replaceLink(program, link string) error {
	fresh := fmt.Sprintf("%s.natlb-%d", link, os.Getpid())
	if err := os.Symlink(program, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, link); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return nil
}
