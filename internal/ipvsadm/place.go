package ipvsadm

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"natlb/ipvs"
	"natlb/sched"
)

// place is a line of a rules file: where a change comes from.
type place struct {
	line  int
	text  string // the whole line, without its end
	rule  string // text without its comment
	words []span // of rule

	given optSet // of a line in ipvsadm's grammar
	where [optCount]int
}

// span is a word's place in its line, in bytes.
type span struct{ from, to int }

const blanks = " \t\r\n"

// newPlace takes a line apart: into words as [fields] does, up to a comment.
func newPlace(line int, text string) *place {
	p := &place{line: line, text: strings.TrimRight(text, "\r\n")}
	p.rule = p.text[:commentOf(p.text)]
	for i := 0; i < len(p.rule); {
		n := strings.IndexAny(p.rule[i:], blanks)
		if n < 0 {
			n = len(p.rule) - i
		}
		if word := p.rule[i : i+n]; word != "" && word != "ipvsadm" {
			p.words = append(p.words, span{i, i + n})
		}
		i += n + 1
	}
	return p
}

// commentOf returns where the comment of a line begins, or its length: at a word
// that starts with #. In the quotes of a mark line, a # is text.
func commentOf(text string) int {
	mark := strings.HasPrefix(strings.TrimLeft(text, blanks), wordMark)
	start, quote := true, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == 0 && start && c == '#':
			return i
		case mark && c == '\\' && quote != '\'':
			i++
		case mark && c == quote:
			quote = 0
		case mark && quote == 0 && (c == '"' || c == '\''):
			quote = c
		}
		start = strings.IndexByte(blanks, c) >= 0
	}
	return len(text)
}

// texts returns the words.
func (p *place) texts() []string {
	words := make([]string, len(p.words))
	for i, w := range p.words {
		words[i] = p.rule[w.from:w.to]
	}
	return words
}

// column returns where a word begins, in characters from 1.
func (p *place) column(word int) int {
	return 1 + utf8.RuneCountInString(p.text[:p.words[word].from])
}

func (p *place) fault(name string, word int, message, hint string) RuleFault {
	w := p.words[word]
	return RuleFault{
		Name: name, Line: p.line, Column: p.column(word), Width: utf8.RuneCountInString(p.text[w.from:w.to]),
		Text: p.text, Message: message, Hint: hint,
	}
}

// at returns the word that gave one of opts, the first that is given, or the
// command.
func (p *place) at(opts ...opt) int {
	for _, o := range opts {
		if p.given.has(o) {
			return p.where[o]
		}
	}
	return 0
}

// blame returns the word that is at fault when a line cannot be read, and a hint.
func (p *parser) blame(at *place, err error) (word int, hint string) {
	message := err.Error()
	if hint = hintFor(message); hint == "" {
		hint = (&scene{ln: p.read}).usageHint(message)
	}
	if p.words != nil && p.read == nil && p.words.taken > 0 { // while reading: the last word
		return p.words.taken - 1, hint
	}
	return at.suspect(message), hint
}

// suspects are options by what faults say that do not name them.
var suspects = []struct {
	says string
	opt  opt
}{
	{"scheduler flag", optSchedFlags}, {"Zero port", optService}, {"One-Packet", optOps}, {"--pe", optEngine},
	{"lower threshold", optLower}, {"upper threshold", optUpper}, {"real server", optServer}, {"family", optServer},
	{"SCTP", optService},
}

// suspect returns the word that a message is about: the option that it names, or
// the word that it quotes, or the first word.
func (p *place) suspect(message string) int {
	first, word := len(message), 0
	for o := range optCount {
		if i := strings.Index(message, "'"+optNames[o]+"'"); i >= 0 && i < first && p.given.has(o) {
			first, word = i, p.where[o]
		}
	}
	if word > 0 {
		return word
	}
	for _, s := range suspects {
		if strings.Contains(message, s.says) && p.given.has(s.opt) {
			return p.where[s.opt]
		}
	}
	for i, text := range p.texts() {
		quoted := []string{`"` + text + `"`, "`" + text + "'", "argument " + text, "option " + text}
		if i > 0 && slices.ContainsFunc(quoted, func(q string) bool { return strings.Contains(message, q) }) {
			return i
		}
	}
	return 0
}

// hints are what to do about lines that cannot be read.
var hints = []struct{ says, hint string }{
	{"does not start with a command", "a line is what natlb -S writes (-A, -a, ...), --set, mark or sysctl; # begins a comment"},
	{"does not belong into rules", "rules are commands that change something: -A, -a, -E, -e, -D, -d, -C, --set, mark, sysctl"},
	{"Different address family", otherFamily},
	{"lower threshold", "-y goes with -x: the server takes connections again below -y once it has reached -x"},
	{"not supported by this version", "take the option out, or the line"},
	{"sysctl takes", "natlb sysctl -a lists the names"},
}

// hintFor returns what to do about a line that cannot be read, or "".
func hintFor(message string) string {
	for _, h := range hints {
		if strings.Contains(message, h.says) {
			return h.hint
		}
	}
	return ""
}

// refusal returns the word that a director refuses a change for, and a hint.
func (p *place) refusal(err error) (word int, hint string) {
	switch {
	case errors.Is(err, ipvs.ErrUnknownScheduler):
		word = p.at(optScheduler, optService)
		return word, "the closest: " + nearest(p.texts()[word], sched.Names())[0]
	case errors.Is(err, ipvs.ErrServiceExists):
		return p.at(optService), "an earlier line adds it: take one of the two out, or edit with -E"
	case errors.Is(err, ipvs.ErrNoSuchService):
		return p.at(optService), "no line above adds it: -A comes first, with the same address and port"
	case errors.Is(err, ipvs.ErrDestinationExists):
		return p.at(optServer), "an earlier line adds it: take one of the two out, or edit with -e"
	case errors.Is(err, ipvs.ErrNoSuchDestination):
		return p.at(optServer), "no line above adds it: -a comes first, with the same address and port"
	case errors.Is(err, ipvs.ErrUnknownSysctl), errors.Is(err, ipvs.ErrUnsupportedSysctl):
		return len(p.words) - 1, "natlb sysctl -a lists the names"
	}
	message := err.Error()
	if strings.Contains(message, sysctlRoot) {
		return len(p.words) - 1, "natlb sysctl -a shows what each setting means"
	}
	return p.suspect(message), hintFor(message)
}
