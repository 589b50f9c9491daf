package card

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"so8t/dataset"
	"so8t/page"
	"so8t/quadruple"
)

// part is one of the split's, as the card names it.
type part struct {
	key, name string
	info      dataset.PartInfo
	lengths   []dataset.LengthBin
}

// facts are the manifest and the report, and what follows from both.
type facts struct {
	m       *dataset.Manifest
	r       *dataset.Report
	parts   []part
	samples int64
	labels  []string // none in a plain fine-tune
}

func newFacts(m *dataset.Manifest, r *dataset.Report) facts {
	f := facts{m: m, r: r, parts: []part{{"train", "training", m.Train, nil}, {"val", "validation", m.Val, nil}, {"test", "test", m.Test, nil}}}
	for i := range f.parts {
		p := &f.parts[i]
		f.samples += p.info.Samples
		if s := r.Parts[p.key]; s != nil {
			p.lengths = s.Lengths
		}
	}
	if m.Options.Records.FourClass || m.FormatVersion <= 2 { // up to format 2 every record had a label
		f.labels = quadruple.Labels[:]
	}
	return f
}

func newCard(m *dataset.Manifest, r *dataset.Report) (card, error) {
	f := newFacts(m, r)
	removed := f.removed()
	c := card{
		Title: "Data card",
		Lead: []string{fmt.Sprintf("Of %s in %s, %s train the model, %s validate it and %s test it; %s left out.",
			counted(r.Lines, "record"), counted(int64(len(f.inputs())), "file"), page.Number(m.Train.Samples), page.Number(m.Val.Samples),
			page.Number(m.Test.Samples),
			isOrAre(r.Lines-f.samples))},
		Tiles: []tile{
			{"Training", page.Number(m.Train.Samples), "records that the model learns from"},
			{"Validation", page.Number(m.Val.Samples), "records that training is watched on"},
			{"Test", page.Number(m.Test.Samples), "records that the model is judged on"},
			{"Bad", page.Number(r.Bad), "records with a fault in them"},
			{"Removed", page.Number(removed), "records that a rule of the policy removed"},
		},
	}
	if len(f.labels) == 0 {
		c.Lead = append(c.Lead, "The records have no labels: a plain fine-tune, judged by its token loss.")
	}
	c.Sections = []section{f.files(), f.split()}
	plots, err := f.plots()
	if err != nil {
		return c, err
	}
	c.Sections[1].Plots = plots
	for _, s := range []section{f.leftOut(), f.duplicates(), f.read(), f.personal(), f.licences(), f.robots(), f.policy(), f.made()} {
		if len(s.Says)+len(s.Tables) > 0 {
			c.Sections = append(c.Sections, s)
		}
	}
	return c.clean(), nil
}

func (f facts) removed() (n int64) {
	for _, v := range f.r.Removed {
		n += v
	}
	return n
}

func isOrAre(n int64) string {
	if n == 1 {
		return "1 is"
	}
	return page.Number(n) + " are"
}

// clean cleans every text that may come of the data.
func (c card) clean() card {
	for i := range c.Sections {
		s := &c.Sections[i]
		for j := range s.Says {
			s.Says[j] = clean(s.Says[j])
		}
		for j := range s.Tables {
			for _, row := range s.Tables[j].Rows {
				for k := range row {
					row[k] = clean(row[k])
				}
			}
		}
	}
	return c
}

// inputs lists the files; the report of an earlier version names one alone.
func (f facts) inputs() []input {
	var out []input
	for _, file := range f.r.Inputs {
		form := []string{file.Format}
		for _, more := range []string{file.Compression, file.Encoding} {
			if more != "" {
				form = append(form, more)
			}
		}
		out = append(out, input{file.Path, strings.Join(form, ", "), bytesInWords(file.Size), file.SHA256})
	}
	if len(out) == 0 && f.m.InputPath != "" {
		out = append(out, input{f.m.InputPath, "", "", f.m.DatasetDigest})
	}
	return out
}

type input struct{ path, form, size, digest string }

func (f facts) files() section {
	t := table{Head: []column{{Name: "file"}, {Name: "form"}, {Name: "size", Number: true}, {Name: "SHA-256"}}}
	for _, in := range f.inputs() {
		t.Rows = append(t.Rows, []string{in.path, in.form, in.size, in.digest})
	}
	s := section{ID: "files", Title: "Files", Tables: []table{t}}
	if len(t.Rows) > 1 {
		s.Says = []string{fmt.Sprintf("The files are read in this order. The digest of the whole dataset is %s.", f.m.DatasetDigest)}
	}
	return s
}

func (f facts) split() section {
	t := table{Head: []column{{Name: "part"}, {Name: "records", Number: true}, {Name: "share", Number: true}, {Name: "tokens", Number: true},
		{Name: "loss tokens", Number: true}, {Name: "share", Number: true}, {Name: "longest, tokens", Number: true}},
		Note: "Loss tokens are those that the model is taught to write: the answers. The others are what it is asked."}
	for _, p := range f.parts {
		t.Rows = append(t.Rows, []string{p.name, page.Number(p.info.Samples), share(p.info.Samples, f.samples), page.Number(p.info.Tokens),
			page.Number(p.info.Targets), share(p.info.Targets, p.info.Tokens), page.Number(p.info.Longest)})
	}
	s := section{ID: "parts", Title: "Parts", Tables: []table{t}, Says: []string{
		"Records are put into their part by a keyed hash of what they ask, so that equal questions never stand in two parts, " +
			"and adding a record moves no other."}}
	if len(f.labels) == 0 {
		return s
	}
	balance := table{Head: []column{{Name: "label"}}}
	for _, p := range f.parts {
		balance.Head = append(balance.Head, column{p.name, true}, column{"share", true})
	}
	for _, label := range f.labels {
		row := []string{label}
		for _, p := range f.parts {
			n := p.info.PerLabel[label]
			row = append(row, page.Number(n), share(n, p.info.Samples))
		}
		balance.Rows = append(balance.Rows, row)
	}
	s.Tables = append(s.Tables, balance)
	return s
}

func (f facts) leftOut() section {
	s := section{ID: "left-out", Title: "What was left out, and why"}
	t := table{Head: []column{{Name: "rule"}, {Name: "why"}, {Name: "records", Number: true}, {Name: "of all", Number: true}}}
	add := func(group string, counts map[string]int64, words func(string) string) {
		rows, _ := ranked(counts, func(key string, n int64) []string {
			return []string{group + key, words(key), page.Number(n), share(n, f.r.Lines)}
		})
		t.Rows = append(t.Rows, rows...)
	}
	bad, words := map[string]int64{}, map[string]string{}
	for reason, n := range f.r.BadByReason {
		bad[string(reason)], words[string(reason)] = n, dataset.InWords(reason)
	}
	add("bad: ", bad, func(key string) string { return words[key] })
	if f.r.TooLong > 0 {
		add("", map[string]int64{"too_long": f.r.TooLong}, func(string) string {
			return fmt.Sprintf("it has more than %s tokens (data.max_seq_length)", page.Number(int64(f.r.MaxSeqLength)))
		})
	}
	add("policy: ", f.r.Removed, ruleInWords)
	if len(t.Rows) == 0 {
		s.Says = []string{"Nothing: every record is in one of the parts."}
		return s
	}
	s.Tables = []table{t}
	s.Says = []string{"policy_report.json lists each of them by file, line and place."}
	if f.r.Truncated {
		s.Says[0] = "policy_report.json lists them by file, line and place, each list up to 10,000 of them; the counts are of all."
	}
	return s
}

func (f facts) duplicates() section {
	s := section{ID: "duplicates", Title: "Duplicates"}
	s.Says = []string{fmt.Sprintf("%s equal to an earlier one. They are kept, in the same part as that one.", recordsAre(f.r.Duplicates))}
	if f.r.Duplicates == 0 {
		s.Says[0] = "No record is equal to another."
	}
	n := f.r.NearDuplicates
	if n == nil {
		s.Says = append(s.Says, "Near duplicates were not looked for (policy.near_duplicates).")
		return s
	}
	kept := "They are kept; the A/B report gives its figures without them too."
	if n.Dropped {
		kept = "They are left out."
	}
	text := fmt.Sprintf("%s in validation and %s in test %s nearly the same as one in training: "+
		"the Jaccard similarity of their prompts, over pieces of 5 characters, is %g or more.",
		counted(n.Val, "record"), page.Number(n.Test), map[bool]string{true: "is", false: "are"}[n.Val+n.Test == 1], n.Threshold)
	if n.Val+n.Test > 0 {
		text += " " + kept
	}
	s.Says = append(s.Says, text)
	return s
}

func recordsAre(n int64) string {
	if n == 1 {
		return "1 record is"
	}
	return page.Number(n) + " records are"
}

// read says what was made of the rows: forms, columns passed over, labels folded.
func (f facts) read() section {
	s := section{ID: "reading", Title: "How the records were read"}
	add := func(counts map[string]int64, head ...string) {
		if len(counts) == 0 {
			return
		}
		t := table{Head: []column{{Name: head[0]}, {Name: head[1], Number: true}}}
		t.Rows, t.Note = ranked(counts, func(key string, n int64) []string { return []string{key, page.Number(n)} })
		s.Tables = append(s.Tables, t)
	}
	add(f.r.Formats, "form of the records", "records")
	add(f.r.UnknownColumns, "column passed over", "records with it")
	add(f.r.FoldedLabels, "label as it stood → as it was read", "records")
	return s
}

func (f facts) made() section {
	o := f.m.Options
	s := section{ID: "made", Title: "How the samples were made"}
	t := table{Head: []column{{Name: "what"}, {Name: "value"}}}
	add := func(name, value string) {
		if value != "" {
			t.Rows = append(t.Rows, []string{name, value})
		}
	}
	add("Dataset, SHA-256", f.m.DatasetDigest)
	add("Dataset and options, SHA-256", f.m.Identity())
	add("Tokenizer, SHA-256", o.TokenizerDigest)
	add("Chat template, SHA-256", o.TemplateDigest)
	add("Longest sample allowed", counted(int64(o.MaxSeqLength), "token"))
	add("Answers in the four-part form", map[bool]string{true: "yes", false: "no"}[o.QuadrupleThinking])
	switch o.TrainOn {
	case "assistant":
		add("Turns that teach", "every answer of a conversation")
	case "last":
		add("Turns that teach", "the last answer of a conversation")
	}
	add("Seed of the split", fmt.Sprint(o.Seed))
	for _, p := range f.parts {
		add(filepath.Base(p.key)+".arrow, SHA-256", p.info.SHA256)
	}
	add("Format of the split", fmt.Sprint(f.m.FormatVersion))
	s.Tables = []table{t}
	return s
}

// list writes names with commas, the first of many.
func list(names []string) string {
	shown := slices.Clone(names[:min(longest, len(names))])
	if more := len(names) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %s more", page.Number(int64(more))))
	}
	return strings.Join(shown, ", ")
}
