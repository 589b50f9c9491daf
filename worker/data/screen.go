package data

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"so8t/configs"
	"so8t/dataset"
	"so8t/page"
	"so8t/quadruple"
	"so8t/worker/table"
)

// screen prints a report section by section. It names lines and places, never a record's text.
type screen struct {
	out           io.Writer
	report        *dataset.Report
	config        *configs.Config
	withoutTokens string // why no tokens were counted; empty where they were
}

func (s *screen) print() {
	s.files()
	s.records()
	s.bad()
	s.tooLong()
	s.policy()
	s.robots()
	s.counts("records by licence", s.report.Licenses)
	s.counts("columns passed over (records)", s.report.UnknownColumns)
	s.counts("labels read as (records)", s.report.FoldedLabels)
	s.parts()
	s.lengths()
	s.duplicates()
}

func (s *screen) section(format string, args ...any) { fmt.Fprintf(s.out, "\n"+format+"\n", args...) }

func (s *screen) files() {
	fmt.Fprintln(s.out, "files")
	var t table.Table
	for _, f := range s.report.Inputs {
		kind := f.Format
		for _, more := range []string{f.Compression, f.Encoding} {
			if more != "" {
				kind += ", " + more
			}
		}
		t.Row(f.Path, kind, size(f.Size), fmt.Sprintf("SHA-256 %.12s…", f.SHA256))
	}
	t.Print(s.out)
}

func (s *screen) records() {
	r := s.report
	s.section("records")
	var t table.Table
	t.Row("read", r.Lines)
	for _, form := range byCount(r.Formats) {
		t.Row("  as "+form, r.Formats[form])
	}
	t.Row("bad", r.Bad, percent(r.Bad, r.Lines), fmt.Sprintf("data.max_bad_fraction allows %s", percentOf(s.config.Data.MaxBadFraction)))
	t.Row("removed by the policy", sum(r.Removed), percent(sum(r.Removed), r.Lines))
	if s.withoutTokens == "" {
		t.Row("too long", r.TooLong, percentOf(r.TooLongFraction), fmt.Sprintf("over data.max_seq_length, %d tokens; data.max_too_long_fraction allows %s",
			r.MaxSeqLength, percentOf(s.config.Data.MaxTooLongFraction)))
	}
	t.Print(s.out)
}

const firstLines = 5 // of each reason

func (s *screen) bad() {
	r := s.report
	if r.Bad == 0 {
		return
	}
	s.section("bad records, with the first lines of each reason")
	var t table.Table
	for _, reason := range byCount(r.BadByReason) {
		var places []string
		for _, b := range r.BadLines {
			if b.Reason == reason && len(places) < firstLines {
				places = append(places, withDetail(s.place(b.File, b.Line), b.Detail))
			}
		}
		t.Row(reason, r.BadByReason[reason], "at "+strings.Join(places, ", "))
	}
	t.Print(s.out)
}

func (s *screen) tooLong() {
	r := s.report
	if r.TooLong == 0 {
		return
	}
	s.section("too long: the longest has %s tokens; the first are", page.Number(int64(r.Longest)))
	var t table.Table
	for _, l := range r.TooLongLines[:min(firstLines, len(r.TooLongLines))] {
		t.Row(s.place(l.File, l.Line), int64(l.Tokens), "tokens")
	}
	t.Print(s.out)
}

// policy lists what the rules removed and masked, and what they do not look for.
func (s *screen) policy() {
	r := s.report
	if len(r.Removed) > 0 {
		s.section("removed by the policy, with the first places of each rule")
		var t table.Table
		for _, rule := range byCount(r.Removed) {
			var places []string
			for _, l := range r.RemovedLines {
				if l.Rule == rule && len(places) < firstLines {
					places = append(places, s.span(l.File, l.Line, l.Field, l.Start, l.Length))
				}
			}
			t.Row(rule, r.Removed[rule], "at "+strings.Join(places, ", "))
		}
		t.Print(s.out)
	}
	if len(r.MaskedByKind) > 0 {
		s.section("personal data masked, with the first places of each kind")
		var t table.Table
		for _, kind := range byCount(r.MaskedByKind) {
			var places []string
			for _, l := range r.MaskedLines {
				if l.Kind == kind && len(places) < firstLines {
					places = append(places, s.span(l.File, l.Line, l.Field, l.Start, l.Length))
				}
			}
			t.Row(kind, r.MaskedByKind[kind], "at "+strings.Join(places, ", "))
		}
		t.Print(s.out)
	}
	fmt.Fprintf(s.out, "\nno rule looks for: %s\n", strings.Join(r.NotLookedFor, ", "))
}

// robots lists what is stored for the sites of records; those that are missing stand alone on their lines, for a fetcher.
func (s *screen) robots() {
	r := s.report
	if len(r.Robots) > 0 {
		s.section("robots.txt by site")
		var t table.Table
		t.Row("site", "records", "removed", "HTTP status", "stored as")
		for _, site := range slices.Sorted(maps.Keys(r.Robots)) {
			use := r.Robots[site]
			t.Row(site, use.Records, use.Removed, fmt.Sprint(use.Status), withDetail(cmp.Or(use.File, "nothing is stored"), use.FetchedAt))
		}
		t.Print(s.out)
	}
	if len(r.MissingRobots) > 0 {
		s.section("sites without a stored robots.txt")
		for _, site := range r.MissingRobots {
			fmt.Fprintln(s.out, table.Printable(site))
		}
	}
}

func (s *screen) counts(title string, counts map[string]int64) {
	if len(counts) == 0 {
		return
	}
	s.section("%s", title)
	var t table.Table
	for _, name := range byCount(counts) {
		t.Row(cmp.Or(name, "(none)"), counts[name])
	}
	t.Print(s.out)
}

// parts shows the split, label by label where there are labels.
func (s *screen) parts() {
	s.section("split")
	var t table.Table
	head, rows := []any{"", "samples"}, map[string][]any{}
	if s.config.Data.FourClass {
		for _, label := range quadruple.Labels {
			head = append(head, label)
		}
	}
	if s.withoutTokens == "" {
		head = append(head, "tokens", "in the loss", "longest")
	}
	for _, name := range partNames {
		p := s.report.Parts[name]
		if p == nil {
			continue
		}
		row := []any{name, p.Samples}
		if s.config.Data.FourClass {
			for _, label := range quadruple.Labels {
				row = append(row, p.PerLabel[label])
			}
		}
		if s.withoutTokens == "" {
			row = append(row, p.Tokens, percent(p.Targets, p.Tokens), p.Longest)
		}
		rows[name] = row
	}
	t.Row(head...)
	for _, name := range partNames {
		if rows[name] != nil {
			t.Row(rows[name]...)
		}
	}
	t.Print(s.out)
}

var partNames = []string{"train", "val", "test"}

// lengths is a bar chart of the samples' lengths, all parts together.
func (s *screen) lengths() {
	if s.withoutTokens != "" {
		s.section("no tokens are counted: %s", s.withoutTokens)
		return
	}
	bins, most := map[int]int64{}, int64(1)
	for _, p := range s.report.Parts {
		for _, bin := range p.Lengths {
			bins[bin.UpTo] += bin.Samples
			most = max(most, bins[bin.UpTo])
		}
	}
	if len(bins) == 0 {
		return
	}
	s.section("samples by length")
	var t table.Table
	for _, upTo := range slices.Sorted(maps.Keys(bins)) {
		const width = 40
		bar := strings.Repeat("█", int((width*bins[upTo]+most-1)/most))
		t.Row("up to", int64(upTo), "tokens", bins[upTo], bar)
	}
	t.Print(s.out)
}

func (s *screen) duplicates() {
	r := s.report
	s.section("%s records are equal to an earlier one", page.Number(r.Duplicates))
	n := r.NearDuplicates
	if n == nil {
		return
	}
	what := "; they stay"
	switch {
	case n.Val+n.Test == 0:
		what = ""
	case n.Dropped:
		what = "; they are left out"
	}
	fmt.Fprintf(s.out, "%s validation and %s test records are near one in training (similarity %v or more)%s\n",
		page.Number(n.Val), page.Number(n.Test), n.Threshold, what)
	var t table.Table
	for _, l := range n.Lines[:min(firstLines, len(n.Lines))] {
		t.Row(l.Part, s.place(l.File, l.Line), "is near "+s.place(l.OfFile, l.OfLine), fmt.Sprintf("%.2f", l.Similarity))
	}
	t.Print(s.out)
}

// place names a line, and its file's number where there are several files.
func (s *screen) place(file int, line int64) string {
	if len(s.report.Inputs) > 1 {
		return fmt.Sprintf("file %d line %s", file+1, page.Number(line))
	}
	return "line " + page.Number(line)
}

// span is the place of a text's part, in characters.
func (s *screen) span(file int, line int64, field string, start, length int) string {
	if field == "" {
		return s.place(file, line)
	}
	return fmt.Sprintf("%s (%s, %d to %d)", s.place(file, line), field, start, start+length)
}

func withDetail(text, detail string) string {
	if detail == "" {
		return text
	}
	return text + " (" + detail + ")"
}

// size is a number of bytes.
func size(n int64) table.Amount { return table.Amount(page.Size(n)) }

func percent(part, whole int64) table.Amount {
	return table.Amount(fmt.Sprintf("%.2f %%", 100*float64(part)/float64(max(whole, 1))))
}

func percentOf(fraction float64) table.Amount {
	return table.Amount(fmt.Sprintf("%.2f %%", 100*fraction))
}

func sum(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// byCount are the keys, the largest count first.
func byCount[K cmp.Ordered](counts map[K]int64) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
}
