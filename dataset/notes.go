package dataset

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"so8t/quadruple"
)

// Notes are what a person should know of the input, one line each, worst first. path is the report's own.
func (r *Report) Notes(path string) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	for _, name := range partNames {
		p := r.Parts[name]
		if p == nil {
			continue
		}
		if lost := p.lost(); len(lost) > 0 && name != partNames[val] {
			note("no record of %s is left in %s", strings.Join(lost, ", "), name)
		}
	}
	if r.Bad > 0 {
		note("%d of %d records are bad (%s): %s", r.Bad, r.Lines, percent(r.BadFraction), r.byReason())
	}
	if r.TooLong > 0 {
		note("%d records (%s) are longer than data.max_seq_length, %d tokens, and left out; the longest has %d",
			r.TooLong, percent(r.TooLongFraction), r.MaxSeqLength, r.Longest)
	}
	if n := sum(r.Removed); n > 0 {
		note("%d of %d records are removed by the policy: %s", n, r.Lines, ranked(r.Removed))
	}
	if len(r.MaskedByKind) > 0 {
		note("personal data is masked: %s", ranked(r.MaskedByKind))
	}
	if n := len(r.MissingRobots); n > 0 {
		note("no robots.txt is stored for %d sites: %s", n, few(r.MissingRobots))
	}
	if len(r.UnknownColumns) > 0 {
		note("columns passed over: %s", ranked(r.UnknownColumns))
	}
	if len(r.FoldedLabels) > 0 {
		note("labels read as: %s", ranked(r.FoldedLabels))
	}
	if n := r.NearDuplicates; n != nil && n.Val+n.Test > 0 {
		what := "are near one in train"
		if n.Dropped {
			what += " and left out"
		}
		note("%d validation and %d test records %s (similarity %v or more)", n.Val, n.Test, what, n.Threshold)
	}
	if r.Duplicates > 0 {
		note("%d records are equal to an earlier one", r.Duplicates)
	}
	for i, name := range partNames {
		if p := r.Parts[name]; p != nil && p.Samples > 0 {
			note("%s: %d records%s; %s of their tokens are in the loss; the longest has %d tokens", partsInWords[i], p.Samples, p.labels(),
				percent(float64(p.Targets)/float64(max(p.Tokens, 1))), p.Longest)
		}
	}
	if len(r.Inputs) == 0 {
		note("read from %s by an earlier version, which knew no policy", filepath.Base(r.InputPath))
		return append(notes, "details: "+path)
	}
	var files []string
	for _, f := range r.Inputs {
		files = append(files, filepath.Base(f.Path))
	}
	note("read from %s", few(files))
	return append(notes, "details: "+path)
}

var partsInWords = [parts]string{"training", "validation", "test"}

// labels is the label balance, empty where records have no labels.
func (s *Statistics) labels() string {
	var balance []string
	for _, label := range quadruple.Labels {
		if n, counted := s.PerLabel[label]; counted {
			balance = append(balance, fmt.Sprintf("%s %d", label, n))
		}
	}
	if balance == nil {
		return ""
	}
	return " (" + strings.Join(balance, ", ") + ")"
}

// lost are the labels of which the part has no sample.
func (s *Statistics) lost() (labels []string) {
	for _, label := range quadruple.Labels {
		if n, counted := s.PerLabel[label]; counted && n == 0 {
			labels = append(labels, label)
		}
	}
	return labels
}

func (r *Report) byReason() string {
	var parts []string
	for _, reason := range r.reasons() {
		parts = append(parts, fmt.Sprintf("%s %d", reason, r.BadByReason[reason]))
	}
	return few(parts)
}

// ranked is a table's rows, the largest first.
func ranked(counts map[string]int64) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if n := counts[b] - counts[a]; n != 0 {
			return int(max(-1, min(n, 1)))
		}
		return strings.Compare(a, b)
	})
	for i, key := range keys {
		keys[i] = fmt.Sprintf("%s %d", key, counts[key])
	}
	return few(keys)
}

// few joins at most eight.
func few(texts []string) string {
	const most = 8
	if len(texts) <= most {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:most], ", "), len(texts)-most)
}
