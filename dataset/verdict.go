package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// verdict returns the error of an input with too many bad lines.
func (r *Report) verdict(maxBadFraction float64) error {
	if r.Lines > 0 {
		r.BadFraction = float64(r.Bad) / float64(r.Lines)
	}
	if r.BadFraction <= maxBadFraction {
		return nil
	}
	var counts, first []string
	for _, reason := range slices.Sorted(maps.Keys(r.BadByReason)) {
		counts = append(counts, fmt.Sprintf("%s %d", reason, r.BadByReason[reason]))
	}
	for _, b := range r.BadLines[:min(5, len(r.BadLines))] {
		text := fmt.Sprintf("line %d %s", b.Line, b.Reason)
		if b.Detail != "" {
			text += " (" + b.Detail + ")"
		}
		first = append(first, text)
	}
	return &InputError{fmt.Errorf("%s: %d of %d lines (%.2f %%) are bad, data.max_bad_fraction allows %.2f %%: %s; first: %s",
		r.InputPath, r.Bad, r.Lines, 100*r.BadFraction, 100*maxBadFraction, strings.Join(counts, ", "), strings.Join(first, "; "))}
}

// Notes are what a person should know of the input, one line each, worst first. path is the report's own.
func (r *Report) Notes(path string) []string {
	return []string{fmt.Sprintf("%d lines, %d bad, %d too long: see %s", r.Lines, r.Bad, r.TooLong, path)}
}
