package record

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"so8t/quadruple"
)

// Options say how rows become records: the keys of the section data.
type Options struct {
	Format         string            `json:"format"`          // one of Formats; empty: auto
	Columns        map[string]string `json:"columns"`         // field → column, dotted for a nested one; "a | b": the first that has a value
	Labels         map[string]string `json:"labels"`          // value of the label's column → class
	UnknownColumns string            `json:"unknown_columns"` // count or refuse; empty: count
	FourClass      bool              `json:"four_class"`      // every record must have one of the four labels
}

// Formats are the forms that records come in. auto is none itself: it takes the first of the others, in this order, whose
// keys a record has.
var Formats = []string{"auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer"}

// Fields are the fields that Options.Columns may map.
var Fields = []string{"instruction", "input", "output", "system", "messages", "history", "four_class_label", "domain_label", "safety_label",
	"thinking_format", "source_url", "license", "nsfw"}

// Reader turns rows into records. It is safe for concurrent use.
type Reader struct {
	Options
	columns map[string][]string // field → columns, of which the first that has a value counts
	labels  map[string]string   // folded value → class
	known   map[string]bool     // keys of a row that some form reads
}

// NewReader checks the options; its errors name the key of the configuration.
func NewReader(o Options) (*Reader, error) {
	r := &Reader{Options: o, columns: map[string][]string{}, labels: map[string]string{}, known: map[string]bool{}}
	if o.Format == "" {
		r.Format = "auto"
	}
	if !slices.Contains(Formats, r.Format) {
		return nil, fmt.Errorf("data.format: %q is none of %s", o.Format, strings.Join(Formats, ", "))
	}
	if o.UnknownColumns != "" && o.UnknownColumns != "count" && o.UnknownColumns != "refuse" {
		return nil, fmt.Errorf("data.unknown_columns: %q is neither count nor refuse", o.UnknownColumns)
	}
	for _, field := range slices.Sorted(maps.Keys(o.Columns)) {
		if !slices.Contains(Fields, field) {
			return nil, fmt.Errorf("data.columns.%s: no such field; there are %s", field, strings.Join(Fields, ", "))
		}
		for column := range strings.SplitSeq(o.Columns[field], "|") {
			if column = strings.TrimSpace(column); column == "" {
				return nil, fmt.Errorf("data.columns.%s: names no column", field)
			}
			head, _, _ := strings.Cut(column, ".")
			r.known[column], r.known[head] = true, true
			r.columns[field] = append(r.columns[field], column)
		}
	}
	for _, value := range slices.Sorted(maps.Keys(o.Labels)) {
		class := o.Labels[value]
		if !quadruple.IsLabel(class) {
			return nil, fmt.Errorf("data.labels.%s: %q is none of %s", value, class, strings.Join(quadruple.Labels[:], ", "))
		}
		if other, twice := r.labels[fold(value)]; twice && other != class {
			return nil, fmt.Errorf("data.labels.%s: a value that differs from it in case or width only has another class", value)
		}
		r.labels[fold(value)] = class
	}
	for _, field := range Fields {
		if o.Columns[field] == "" {
			r.known[field] = true
		}
	}
	for _, f := range flatForms {
		for _, key := range slices.Concat(f.prompt, f.answer) {
			r.known[key] = true
		}
	}
	for _, key := range []string{"conversations", "system_prompt"} {
		r.known[key] = true
	}
	return r, nil
}

// Parse reads one row. reason is empty where the record is good; detail never quotes a record's text. A row is one JSON
// object of valid UTF-8 without lone surrogates, with no key twice, and every value of its type; null is the same as absent.
func (r *Reader) Parse(row []byte, seen *Seen) (rec Record, reason Reason, detail string) {
	p := parsers.Get().(*parser)
	defer p.release()
	p.Reader = r
	f := p.open(row)
	form := ""
	if f == nil {
		form, f = p.fill(&rec)
	}
	if f == nil {
		f = p.unknown(seen)
	} else if seen != nil {
		p.unread(seen)
	}
	if f != nil {
		return Record{}, f.reason, f.detail
	}
	if seen != nil {
		count(&seen.Formats, form, 1)
		if p.folded != "" {
			count(&seen.FoldedLabels, p.folded, 1)
		}
	}
	return rec, "", ""
}

// fill turns an opened row into a record, and returns the name of its form.
func (p *parser) fill(rec *Record) (form string, f *fault) {
	for _, c := range []struct {
		field string
		to    *string
	}{
		{"domain_label", &rec.DomainLabel}, {"safety_label", &rec.SafetyLabel}, {"thinking_format", &rec.ThinkingFormat},
		{"source_url", &rec.SourceURL}, {"license", &rec.License},
	} {
		if *c.to, f = p.text(p.take(c.field, c.field)); f != nil {
			return "", f
		}
	}
	if rec.System, f = p.text(p.take("system", "system", "system_prompt")); f != nil {
		return "", f
	}
	if form, f = p.conversation(rec); f != nil {
		return "", f
	}
	if rec.FourClassLabel, f = p.label(); f != nil {
		return "", f
	}
	rec.NSFW, f = p.nsfw()
	return form, f
}
