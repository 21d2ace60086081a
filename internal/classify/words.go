package classify

import (
	"errors"
	"strings"
)

// Split cuts a line of saved rules, or of a rules file, into words as a shell
// would: blanks part words, "..." keeps them (a backslash inside takes the next
// character as it is), '...' keeps everything. It undoes the quoting of [Rule.String].
// An open quote is an error.
func Split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	open, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return nil, errors.New(`nothing behind the last "\"`)
			}
			word.WriteByte(line[i])
			open = true
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if open {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, errors.New("unclosed quote " + string(quote))
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

// quoted returns a word as iptables -S prints free text: as it is when only
// letters, digits, "_" and "-" are in it, else in double quotes.
func quoted(word string) string {
	plain := word != ""
	for i := 0; i < len(word); i++ {
		c := word[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			plain = false
		}
	}
	if plain {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(word) + `"`
}
