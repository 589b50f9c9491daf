package dataset

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"so8t/dataset/neardup"
	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/policy"
)

// sorted is what a worker makes of a block: rows for the parts, and why each other record is in none.
type sorted struct {
	report *Report
	rows   [parts][]byte
	kept   []kept
}

// kept is what the comparison of records needs of each that is in a part.
type kept struct {
	train     bool
	ref       neardup.Ref
	digest    uint64
	signature neardup.Signature
}

// sorter is a worker. It is for one goroutine.
type sorter struct {
	*splitter
	rows   *record.Reader
	parter *parter
	robots bool // robots.txt is asked
}

func newSorter(s *splitter, rows *record.Reader) *sorter {
	return &sorter{s, rows, newParter(s.Seed), s.Policy != nil && s.Policy.Options().Robots == "require"}
}

func (s *sorter) block(b *source.Block, to *sorted) error {
	to.report = newReport(nil, s.options)
	to.kept = make([]kept, 0, min(len(b.Rows), 1<<10)) // rows of a few bytes may be many, and bad
	for _, row := range b.Rows {
		if err := s.row(b.File, row, to); err != nil {
			return err
		}
	}
	return nil
}

// row takes one row to where it belongs: a part, or a count of the report.
func (s *sorter) row(file int, row source.Row, to *sorted) error {
	r := to.report
	r.Lines++
	if row.Fault != "" {
		r.bad(file, row.Line, record.Reason(row.Fault), row.Detail)
		return nil
	}
	rec, reason, detail := s.rows.Parse(row.JSON, &r.Seen)
	rec.File, rec.Line = file, row.Line
	if reason == "" {
		var kept bool
		if reason, detail, kept = s.judge(&rec, r); !kept && reason == "" {
			return nil // removed by a rule
		}
	}
	if reason == "" && s.renderer != nil {
		reason, detail = s.renderer.check(&rec)
	}
	if reason != "" {
		r.bad(file, row.Line, reason, detail)
		return nil
	}
	return s.keep(&rec, to)
}

// judge applies the policy. What it masks is masked in the record from here on.
func (s *sorter) judge(rec *record.Record, r *Report) (reason record.Reason, detail string, kept bool) {
	if s.Policy == nil {
		return "", "", true
	}
	texts := textsOf(rec)
	p := policy.Record{Texts: make([]policy.Text, len(texts)), SourceURL: rec.SourceURL, License: rec.License, NSFW: rec.NSFW, Label: rec.FourClassLabel}
	for i, t := range texts {
		p.Texts[i] = policy.Text{Field: t.field, Text: *t.text}
	}
	v := s.Policy.Judge(&p)
	if rec.License != "" {
		count(r, r.Licenses, rec.License, 1)
	}
	if s.robots && rec.SourceURL != "" {
		if name, authority, ok := s.Policy.Authority(rec.SourceURL); ok {
			r.asked(name, authority, v)
		}
	}
	switch v.Result {
	case policy.Bad:
		return record.Reason(v.Rule), "", false
	case policy.Remove:
		r.removed(rec, v)
		return "", "", false
	}
	if len(v.Masks) > 0 {
		for i, t := range texts {
			*t.text = p.Texts[i].Text
		}
		r.masked(rec, v.Masks)
	}
	return "", "", true
}

// field is a text of a record by its name in the report.
type field struct {
	field string
	text  *string
}

// textsOf are the texts that teach, in the order of the conversation.
func textsOf(r *record.Record) []field {
	texts := make([]field, 0, 4+len(r.Earlier))
	texts = append(texts, field{"system", &r.System})
	for i := range r.Earlier {
		texts = append(texts, field{fmt.Sprintf("turns[%d]", i), &r.Earlier[i].Content})
	}
	return append(texts, field{"instruction", &r.Instruction}, field{"input", &r.Input}, field{"output", &r.Output})
}

// keep renders a record and appends it to its part, unless it is too long.
func (s *sorter) keep(rec *record.Record, to *sorted) error {
	var sample Sample
	if s.renderer != nil {
		var err error
		if sample, err = s.renderer.sample(rec); err != nil {
			return err
		}
		if tokens := len(sample.InputIDs); tokens > s.MaxSeqLength {
			to.report.tooLong(rec.File, rec.Line, tokens)
			return nil
		}
	}
	digest := rec.Digest()
	sample.SourceFile, sample.SourceLine, sample.Domain, sample.Digest = rec.File, rec.Line, rec.DomainLabel, hex.EncodeToString(digest[:])
	if s.Records.FourClass {
		sample.Label = rec.FourClassLabel
	}
	part := s.parter.part(rec)
	var err error
	if to.rows[part], err = appendRow(to.rows[part], &sample); err != nil {
		return err
	}
	k := kept{train: part == train, ref: neardup.Ref{File: int32(rec.File), Line: rec.Line}, digest: binary.LittleEndian.Uint64(digest[:])}
	if s.near != nil {
		k.signature = neardup.Of(nearText(rec))
	}
	to.kept = append(to.kept, k)
	return nil
}

// nearText is what is compared of two records: the prompt without the system text, which many records share.
func nearText(r *record.Record) string {
	if len(r.Earlier) == 0 && r.Input == "" {
		return r.Instruction
	}
	var b strings.Builder
	for _, t := range r.Earlier {
		b.WriteString(t.Content + "\n")
	}
	b.WriteString(r.Instruction)
	if r.Input != "" {
		b.WriteString("\n" + r.Input)
	}
	return b.String()
}
