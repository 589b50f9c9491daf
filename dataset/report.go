package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"so8t/dataset/record"
)

// maxListed limits each list of lines in policy_report.json; counts are always exact.
const maxListed = 10000

// Report is policy_report.json: why each line that is in no part was left out.
type Report struct {
	InputPath   string  `json:"input_path"`
	Lines       int64   `json:"lines"`
	Bad         int64   `json:"bad"`
	BadFraction float64 `json:"bad_fraction"`

	BadByReason map[record.Reason]int64 `json:"bad_by_reason"`
	BadLines    []BadLine               `json:"bad_lines"` // the first 10,000

	PolicyVersion string           `json:"policy_version"`
	Removed       map[string]int64 `json:"removed_by_rule"`
	RemovedLines  []RemovedLine    `json:"removed_lines"` // the first 10,000

	MaxSeqLength int        `json:"max_seq_length"`
	TooLong      int64      `json:"too_long"`       // samples dropped for their length
	TooLongLines []LongLine `json:"too_long_lines"` // the first 10,000
	Truncated    bool       `json:"listing_truncated"`
}

// BadLine says what is wrong with a line; Detail names a key or a position, never a record's text.
type BadLine struct {
	Line   int64         `json:"line"`
	Reason record.Reason `json:"reason"`
	Detail string        `json:"detail,omitempty"`
}

// RemovedLine is a record that a policy rule removed.
type RemovedLine struct {
	Line int64  `json:"line"`
	Rule string `json:"rule"`
}

// LongLine is a sample of more than MaxSeqLength tokens.
type LongLine struct {
	Line   int64 `json:"line"`
	Tokens int   `json:"tokens"`
}

func newReport(path string, o Options) *Report {
	return &Report{InputPath: path, BadByReason: map[record.Reason]int64{}, BadLines: []BadLine{}, PolicyVersion: o.PolicyVersion,
		Removed: map[string]int64{}, RemovedLines: []RemovedLine{}, MaxSeqLength: o.MaxSeqLength, TooLongLines: []LongLine{}}
}

func (r *Report) bad(line int64, reason record.Reason, detail string) {
	r.Bad++
	r.BadByReason[reason]++
	r.BadLines = list(r, r.BadLines, BadLine{line, reason, detail})
}

func (r *Report) removed(line int64, rule string) {
	r.Removed[rule]++
	r.RemovedLines = list(r, r.RemovedLines, RemovedLine{line, rule})
}

func (r *Report) tooLong(line int64, tokens int) {
	r.TooLong++
	r.TooLongLines = list(r, r.TooLongLines, LongLine{line, tokens})
}

func list[T any](r *Report, lines []T, line T) []T {
	if len(lines) >= maxListed {
		r.Truncated = true
		return lines
	}
	return append(lines, line)
}

// verdict returns the error of a file with too many bad lines.
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
