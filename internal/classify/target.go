package classify

import (
	"errors"
	"fmt"
	"strings"
)

// target is what a rule does with the packets that it matches. A mark becomes
// mark &^ mask ^ value (xt_MARK revision 2).
type target struct {
	kind        targetKind
	value, mask uint32
	marked      bool // a MARK target was told what to set
}

type targetKind uint8

const (
	noTarget targetKind = iota
	markTarget
	acceptTarget
	returnTarget
)

var targetNames = [...]string{noTarget: "", markTarget: "MARK", acceptTarget: "ACCEPT", returnTarget: "RETURN"}

// errNoTarget refuses a rule that does nothing. Deviation: iptables takes it, to
// count packets.
var errNoTarget = errors.New("the rule has no target: -j MARK, ACCEPT or RETURN")

func parseTarget(name string) (target, error) {
	for kind, known := range targetNames {
		if known == name && name != "" {
			return target{kind: targetKind(kind)}, nil
		}
	}
	return target{}, fmt.Errorf("target %q is not supported: natlb marks packets and filters none (-j MARK, ACCEPT or RETURN)", name)
}

// complete reports what is missing at the end of the command line.
func (t target) complete() error {
	switch {
	case t.kind == noTarget:
		return errNoTarget
	case t.kind == markTarget && !t.marked:
		return errors.New("-j MARK needs one of --set-mark, --set-xmark, --and-mark, --or-mark, --xor-mark")
	}
	return nil
}

// words is the target as -S prints it, behind "-j".
func (t target) words() string {
	if t.kind == markTarget {
		return "MARK --set-xmark " + marked(t.value, t.mask)
	}
	return targetNames[t.kind]
}

// listed is the end of a -L line: the shortest of the words that say the same.
func (t target) listed() string {
	switch {
	case t.kind != markTarget:
		return ""
	case t.value == 0:
		return fmt.Sprintf("MARK and %#x", ^t.mask)
	case t.value == t.mask:
		return fmt.Sprintf("MARK or %#x", t.value)
	case t.mask == 0:
		return fmt.Sprintf("MARK xor %#x", t.value)
	case t.mask == 0xffffffff:
		return fmt.Sprintf("MARK set %#x", t.value)
	}
	return "MARK xset " + marked(t.value, t.mask)
}

// marked prints a mark as iptables does, always with its mask.
func marked(value, mask uint32) string { return fmt.Sprintf("%#x/%#x", value, mask) }

// setMark returns the option that gives a MARK target its number: change makes
// value and mask of what was written. masked allows VALUE/MASK.
func setMark(masked bool, change func(value, mask uint32) (uint32, uint32)) func(*parser, given) error {
	return func(p *parser, o given) error {
		t := &p.rule.target
		if t.kind != markTarget {
			return fmt.Errorf("%s belongs behind -j MARK", o.name)
		}
		if t.marked {
			return fmt.Errorf("only one number for a MARK target (%s)", o.name)
		}
		value, mask, err := parseMark(o, masked)
		if err != nil {
			return err
		}
		t.value, t.mask = change(value, mask)
		t.marked = true
		return nil
	}
}

// parseMark reads VALUE[/MASK]; the mask is all ones when it is not given.
func parseMark(o given, masked bool) (value, mask uint32, err error) {
	first, second, both := strings.Cut(o.value, "/")
	v, ok := number(first, 0xffffffff)
	m := uint64(0xffffffff)
	if ok && both {
		m, ok = number(second, 0xffffffff)
		ok = ok && masked
	}
	if !ok {
		return 0, 0, fmt.Errorf("%s needs %s, not %q", o.name, bang(masked, "VALUE[/MASK], 32 bits each", "a number of 32 bits"), o.value)
	}
	return uint32(v), uint32(m), nil
}
