package ipvsadm

import "strings"

// scanner takes words apart into options, by popt's rules: short options bundle
// (-Ln), values are glued (-w5, -w=5), follow (-w 5, whatever the word looks
// like) or come after = (--weight=5); "--" ends options.
type scanner struct {
	long  map[string]*option
	short map[byte]*option

	words  []string
	taken  int    // how many words have been taken from the front
	word   string // the word that options are read from, or the last value: what faults quote
	bundle string // the short options of word that are still to come
	spare  []string
	ended  bool // after "--"
}

// next returns the next option with its value, or nil at the end of the words.
// given tells an absent value of mayHaveValue from an empty one.
func (s *scanner) next() (o *option, value string, given bool, err error) {
	for s.bundle == "" {
		if len(s.words) == 0 {
			return nil, "", false, nil
		}
		s.take()
		switch {
		case s.ended || s.word == "-" || !strings.HasPrefix(s.word, "-"):
			s.spare = append(s.spare, s.word)
		case s.word == "--":
			s.ended = true
		case strings.HasPrefix(s.word, "--"):
			return s.longOption()
		default:
			s.bundle = s.word[1:]
		}
	}
	return s.shortOption()
}

// take moves to the next word.
func (s *scanner) take() {
	s.word, s.words = s.words[0], s.words[1:]
	s.taken++
}

func (s *scanner) longOption() (*option, string, bool, error) {
	name, value, glued := strings.Cut(s.word[2:], "=")
	o := s.long[name]
	switch {
	case o == nil:
		return nil, "", false, badOption(s.word, "unknown option")
	case !glued:
		return s.following(o)
	case o.value == noValue:
		return nil, "", false, badOption(s.word, "option does not take an argument")
	}
	return o, value, true, nil
}

func (s *scanner) shortOption() (*option, string, bool, error) {
	o := s.short[s.bundle[0]]
	if o == nil {
		return nil, "", false, badOption(s.word, "unknown option")
	}
	rest := s.bundle[1:]
	s.bundle = ""
	if rest == "" {
		return s.following(o)
	}
	value, glued := strings.CutPrefix(rest, "=")
	switch {
	case o.value != noValue:
		return o, value, true, nil
	case glued: // -n=, -n=c
		return nil, "", false, badOption(s.word, "option does not take an argument")
	}
	s.bundle = rest
	return o, "", false, nil
}

// following takes the value of o from the next word, if o has one.
func (s *scanner) following(o *option) (*option, string, bool, error) {
	switch {
	case o.value == noValue:
		return o, "", false, nil
	case o.value == mayHaveValue && (len(s.words) == 0 || strings.HasPrefix(s.words[0], "-")):
		return o, "", false, nil
	case len(s.words) == 0:
		return nil, "", false, badOption(s.word, "missing argument")
	}
	s.take()
	return o, s.word, true, nil
}
