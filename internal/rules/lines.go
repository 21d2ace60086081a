package rules

// line is a line of one list or the other.
type line struct{ sign, text string }

// lineDiff returns which lines go ("-") and come ("+") between two lists, few if
// they are alike: the longest common subsequence stays. Very different long lists
// are shown whole, one after the other.
func lineDiff(old, new []string) (out []line) {
	for len(old) > 0 && len(new) > 0 && old[0] == new[0] {
		old, new = old[1:], new[1:]
	}
	for len(old) > 0 && len(new) > 0 && old[len(old)-1] == new[len(new)-1] {
		old, new = old[:len(old)-1], new[:len(new)-1]
	}
	const most = 1 << 22 // entries of the table
	if len(old)*len(new) > most {
		return append(signed("-", old), signed("+", new)...)
	}
	// common[i][j] is how many lines old[i:] and new[j:] have in common.
	common := make([][]int32, len(old)+1)
	for i := range common {
		common[i] = make([]int32, len(new)+1)
	}
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(new) - 1; j >= 0; j-- {
			if old[i] == new[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(old) && j < len(new) {
		switch {
		case old[i] == new[j]:
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, line{"-", old[i]})
			i++
		default:
			out = append(out, line{"+", new[j]})
			j++
		}
	}
	return append(append(out, signed("-", old[i:])...), signed("+", new[j:])...)
}

func signed(sign string, texts []string) (out []line) {
	for _, t := range texts {
		out = append(out, line{sign, t})
	}
	return out
}
