package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// diffJSON appends to lines where two decoded documents differ, as path, stored
// value and new value.
func diffJSON(path string, a, b any, lines *[]string) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			for _, k := range slices.Sorted(maps.Keys(union(a, b))) {
				diffJSON(join(path, k), a[k], b[k], lines)
			}
			return
		}
	case []any:
		if b, ok := b.([]any); ok {
			for i := range max(len(a), len(b)) {
				diffJSON(fmt.Sprintf("%s[%d]", path, i), at(a, i), at(b, i), lines)
			}
			return
		}
	default:
		if a == b {
			return
		}
	}
	*lines = append(*lines, fmt.Sprintf("%s: stored %s, replayed %s", path, compact(a), compact(b)))
}

func union(a, b map[string]any) map[string]any {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func compact(v any) string {
	if v == nil {
		return "nothing"
	}
	b, _ := json.Marshal(v) // it was decoded from JSON
	return string(b)
}
