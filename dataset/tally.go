package dataset

import (
	"maps"
	"math/bits"
	"slices"
	"strings"

	"so8t/dataset/neardup"
	"so8t/dataset/record"
	"so8t/policy"
	"so8t/quadruple"
)

// others counts what a table of policy_report.json has no row for, since it has maxListed.
const others = "(others)"

func (r *Report) bad(file int, line int64, reason record.Reason, detail string) {
	r.Bad++
	r.BadByReason[reason]++
	r.BadLines = list(r, r.BadLines, BadLine{file, line, reason, detail})
}

func (r *Report) tooLong(file int, line int64, tokens int) {
	r.TooLong++
	r.Longest = max(r.Longest, tokens)
	r.TooLongLines = list(r, r.TooLongLines, LongLine{file, line, tokens})
}

func (r *Report) removed(rec *record.Record, v policy.Verdict) {
	r.Removed[v.Rule]++
	if kind, ok := strings.CutPrefix(v.Rule, "pii:"); ok {
		r.PIIByKind[kind]++
	}
	r.RemovedLines = list(r, r.RemovedLines, RemovedLine{rec.File, rec.Line, v.Rule, v.At.Field, v.At.Start, v.At.Length})
}

func (r *Report) masked(rec *record.Record, masks []policy.Mask) {
	for _, m := range masks {
		r.MaskedByKind[m.Kind]++
		r.MaskedLines = list(r, r.MaskedLines, MaskedLine{rec.File, rec.Line, m.Field, m.Kind, m.Start, m.Length})
	}
}

// asked counts a record whose source_url a robots.txt was asked about.
func (r *Report) asked(name string, a policy.Authority, v policy.Verdict) {
	use := RobotsUse{Authority: a, Records: 1}
	if v.Result == policy.Remove && (v.Rule == "robots" || v.Rule == "robots_missing" || v.Rule == "content_signal") {
		use.Removed = 1
	}
	r.use(name, use)
}

func (r *Report) use(name string, use RobotsUse) {
	sum, ok := r.Robots[name]
	if !ok {
		if len(r.Robots) >= maxListed {
			r.Truncated, name, use.Authority = true, others, policy.Authority{}
			sum = r.Robots[others]
		} else if use.File == "" {
			r.MissingRobots = append(r.MissingRobots, name)
		}
	}
	use.Records += sum.Records
	use.Removed += sum.Removed
	r.Robots[name] = use
}

func (r *Report) near(part int, s *Sample, twin neardup.Twin) {
	n := r.NearDuplicates
	if part == val {
		n.Val++
	} else {
		n.Test++
	}
	n.Lines = list(r, n.Lines, NearLine{partNames[part], s.SourceFile, s.SourceLine, int(twin.Of.File), twin.Of.Line, twin.Similarity})
	if n.Dropped {
		r.Removed[nearDuplicate]++
		r.RemovedLines = list(r, r.RemovedLines, RemovedLine{File: s.SourceFile, Line: s.SourceLine, Rule: nearDuplicate})
	}
}

const nearDuplicate = "near_duplicate"

// sum adds up the rows of a table.
func sum(counts map[string]int64) (n int64) {
	for _, count := range counts {
		n += count
	}
	return n
}

// add adds the report of the lines that follow.
func (r *Report) add(next *Report) {
	r.Lines += next.Lines
	r.Bad += next.Bad
	r.TooLong += next.TooLong
	r.Longest = max(r.Longest, next.Longest)
	for reason, n := range next.BadByReason {
		r.BadByReason[reason] += n
	}
	for _, table := range [...]struct{ to, from map[string]int64 }{
		{r.Removed, next.Removed}, {r.PIIByKind, next.PIIByKind}, {r.MaskedByKind, next.MaskedByKind}, {r.Licenses, next.Licenses},
	} {
		for _, key := range slices.Sorted(maps.Keys(table.from)) { // sorted: which keys have a row must not depend on a map's order
			count(r, table.to, key, table.from[key])
		}
	}
	r.Seen.Add(&next.Seen)
	for _, name := range slices.Sorted(maps.Keys(next.Robots)) {
		r.use(name, next.Robots[name])
	}
	r.BadLines = listAll(r, r.BadLines, next.BadLines)
	r.TooLongLines = listAll(r, r.TooLongLines, next.TooLongLines)
	r.RemovedLines = listAll(r, r.RemovedLines, next.RemovedLines)
	r.MaskedLines = listAll(r, r.MaskedLines, next.MaskedLines)
	r.Truncated = r.Truncated || next.Truncated
}

// count adds to a table of at most maxListed rows.
func count(r *Report, table map[string]int64, key string, n int64) {
	if _, ok := table[key]; !ok && len(table) >= maxListed {
		r.Truncated, key = true, others
	}
	table[key] += n
}

func list[T any](r *Report, lines []T, line T) []T {
	if len(lines) >= maxListed {
		r.Truncated = true
		return lines
	}
	return append(lines, line)
}

func listAll[T any](r *Report, lines, next []T) []T {
	for _, line := range next {
		lines = list(r, lines, line)
	}
	return lines
}

func newStatistics(fourClass bool) *Statistics {
	s := &Statistics{PerLabel: map[string]int64{}, Lengths: []LengthBin{}}
	if fourClass {
		for _, label := range quadruple.Labels {
			s.PerLabel[label] = 0
		}
	}
	return s
}

// firstBin is the upper end of the shortest samples' bin; each bin is twice as wide as the one before.
const firstBin = 32

func (s *Statistics) add(sample *Sample) {
	tokens := len(sample.InputIDs)
	s.Samples++
	s.Tokens += int64(tokens)
	s.Longest = max(s.Longest, int64(tokens))
	for _, label := range sample.Labels {
		if label != ignored {
			s.Targets++
		}
	}
	if sample.Label != "" {
		s.PerLabel[sample.Label]++
	}
	if tokens == 0 {
		return
	}
	bin := bits.Len(uint(tokens-1) / firstBin)
	for len(s.Lengths) <= bin {
		s.Lengths = append(s.Lengths, LengthBin{UpTo: firstBin << len(s.Lengths)})
	}
	s.Lengths[bin].Samples++
}
