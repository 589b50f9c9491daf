package record

import (
	"maps"
	"slices"
	"strings"
)

// Seen counts what was met in rows besides records. The zero value is ready for use. Each map has a bounded number of
// keys; what goes beyond is counted under "…".
type Seen struct {
	Formats        map[string]int64 `json:"formats"`         // records by form
	UnknownColumns map[string]int64 `json:"unknown_columns"` // rows by column; dotted where nested, messages[].name in a list
	FoldedLabels   map[string]int64 `json:"folded_labels"`   // "deny → DENY": rows
}

const (
	maxSeen = 200 // keys of a map
	maxName = 80  // bytes of a key
	rest    = "…"
)

// Add adds the counts of another. The same Seens added in the same order give the same counts.
func (s *Seen) Add(other *Seen) {
	merge(&s.Formats, other.Formats)
	merge(&s.UnknownColumns, other.UnknownColumns)
	merge(&s.FoldedLabels, other.FoldedLabels)
}

func merge(to *map[string]int64, from map[string]int64) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		count(to, name, from[name])
	}
}

func count(to *map[string]int64, name string, n int64) {
	if *to == nil {
		*to = map[string]int64{}
	}
	if _, known := (*to)[name]; known {
		(*to)[name] += n
		return
	}
	if len(name) > maxName+len(rest) {
		name = strings.ToValidUTF8(name[:maxName], "") + rest
	}
	if len(*to) >= maxSeen {
		name = rest
	}
	(*to)[strings.Clone(name)] += n
}
