package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"so8t/dataset/record"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// ignored is the label of a token that the loss does not count.
const ignored = -100

// trainOnAssistant is the value of data.train_on by which every assistant turn is trained, not the last alone.
const trainOnAssistant = "assistant"

// Prompt is the conversation up to the answer: the system turn, where there is one, the earlier turns, and the user's, which
// is the instruction and, after an empty line, the input.
func Prompt(r record.Record) []tokenizer.Message {
	var turns []tokenizer.Message
	if r.System != "" {
		turns = append(turns, tokenizer.Message{Role: "system", Content: r.System})
	}
	for _, t := range r.Earlier {
		turns = append(turns, tokenizer.Message{Role: t.Role, Content: t.Content})
	}
	user := r.Instruction
	if r.Input != "" {
		user += "\n\n" + r.Input
	}
	return append(turns, tokenizer.Message{Role: "user", Content: user})
}

// Assistant is the answer in the quadruple form. An output already in that form is taken as it is; one that lacks only
// the line "decision: LABEL" is given it; any other is wrapped, with the record's labels as its thinking.
func Assistant(r record.Record) string {
	if _, ok := quadruple.Parse(r.Output); ok {
		return r.Output
	}
	if q, ok := quadruple.Split(r.Output); ok {
		if q, ok := q.Decided(r.FourClassLabel); ok {
			return q.String()
		}
	}
	q := quadruple.Quadruple{Safety: quadruple.DecisionLine(r.FourClassLabel), Final: r.Output}
	if r.DomainLabel != "" {
		q.Task = "domain: " + r.DomainLabel
	}
	if r.SafetyLabel != "" {
		q.Safety += "\nsafety: " + r.SafetyLabel
	}
	return q.String()
}

// renderOptions say what becomes of a record's turns.
type renderOptions struct {
	FourClass bool     // records have a label; without one, outputs are trained as they are
	Thinking  bool     // answers take the quadruple form; needs FourClass
	TrainOn   string   // data.train_on: last, assistant
	Files     []string // input files by Record.File: errors name them
}

// renderer turns records into samples. It is safe for concurrent use.
type renderer struct {
	renderOptions
	tok      *tokenizer.Tokenizer
	ends     []int32      // tokens that end an answer
	controls []string     // tokens that no text of a record may hold
	proofs   sync.Map     // sequence of roles → what the template does wrong with it, "" for nothing
	proved   atomic.Int64 // proofs made
}

func newRenderer(tok *tokenizer.Tokenizer, o renderOptions) (*renderer, error) {
	d := &renderer{renderOptions: o, tok: tok}
	_, err := tok.ApplyChatTemplate(nil, true)
	if errors.Is(err, tokenizer.ErrNoTemplate) {
		return nil, &InputError{Err: err}
	}
	if d.ends, err = tok.EndTokens(); err != nil {
		return nil, &InputError{Err: oneLine(err)}
	}
	if d.controls, err = tok.ControlTokens(); err != nil {
		return nil, &InputError{Err: oneLine(err)}
	}
	return d, nil
}

// oneLine joins the lines of an error: a template may raise any text.
func oneLine(err error) error {
	if !strings.ContainsAny(err.Error(), "\r\n") {
		return err
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// failed is an error of the template on a record, which it names.
func (d *renderer) failed(r *record.Record, err error) error {
	where := fmt.Sprintf("line %d", r.Line)
	if r.File < len(d.Files) {
		where = d.Files[r.File] + ": " + where
	}
	return &InputError{Err: fmt.Errorf("%s: %w", where, oneLine(err))}
}

func (d *renderer) fault(r *record.Record, format string, args ...any) error {
	return d.failed(r, fmt.Errorf("chat template: "+format, args...))
}

// inForm reports whether answers take the quadruple form.
func (d *renderer) inForm() bool { return d.FourClass && d.Thinking }

// check returns why a record would make a wrong sample; reason is empty if it would not.
func (d *renderer) check(r *record.Record) (reason record.Reason, detail string) {
	fields := []struct{ name, text string }{
		{"system", r.System}, {"instruction", r.Instruction}, {"input", r.Input}, {"output", r.Output},
		{"domain_label", r.DomainLabel}, {"safety_label", r.SafetyLabel},
	}
	for i, t := range r.Earlier {
		fields = append(fields, struct{ name, text string }{fmt.Sprintf("turns[%d]", i), t.Content})
	}
	for _, field := range fields {
		for _, control := range d.controls {
			if strings.Contains(field.text, control) {
				return record.ControlToken, field.name + " contains " + control
			}
		}
	}
	if !d.inForm() {
		return "", ""
	}
	for i, t := range r.Earlier {
		if t.Role != "assistant" || d.TrainOn != trainOnAssistant {
			continue
		}
		if _, ok := quadruple.Parse(t.Content); !ok {
			return record.MalformedQuadruple, fmt.Sprintf("turns[%d], which is trained too, is not in the form", i)
		}
	}
	q, ok := quadruple.Parse(Assistant(*r))
	if !ok {
		return record.MalformedQuadruple, "output has some of the tags, but not the form"
	}
	if q.Decision != r.FourClassLabel {
		return record.DecisionMismatch, fmt.Sprintf("output decides %s, four_class_label is %s", q.Decision, r.FourClassLabel)
	}
	return "", ""
}

// sample renders the record. Its ids are those of the whole conversation encoded at once, as transformers does it, up to
// the token that ends the answer; they begin with the ids of the prompt as generation sees it. Its labels are −100 but
// on the tokens that are trained. What the sample has of the record itself is the sorter's to add.
func (d *renderer) sample(r *record.Record) (Sample, error) {
	answer := r.Output
	if d.inForm() {
		answer = Assistant(*r)
	}
	turns := append(Prompt(*r), tokenizer.Message{Role: "assistant", Content: answer})
	c, err := d.render(r, turns)
	if err != nil {
		return Sample{}, err
	}
	ids, labels, prompt, err := d.label(r, c)
	if err != nil {
		return Sample{}, err
	}
	return Sample{InputIDs: ids, Labels: labels, PromptLength: prompt}, nil
}

// label encodes a conversation and sets the labels. By {% generation %} markers they are the mask of transformers, which
// TRL trains on; without markers, what follows the prompt of a trained turn, through the token that ends it.
func (d *renderer) label(r *record.Record, c *conversation) (ids, labels []int32, prompt int, err error) {
	ids, lengths := d.tok.EncodePrefixes(c.text, c.prompts...)
	if slices.Contains(lengths, -1) {
		return nil, nil, 0, d.fault(r, "the tokens of the prompt are not the first tokens of the conversation")
	}
	prompt = lengths[len(lengths)-1]
	end := slices.IndexFunc(ids[prompt:], d.ending)
	if end < 0 {
		return nil, nil, 0, d.fault(r, "nothing ends the answer")
	}
	length := prompt + end + 1
	labels = make([]int32, length)
	for i := range labels {
		labels[i] = ignored
	}
	if d.tok.HasGenerationMarkers() {
		_, trained, err := d.tok.EncodeSpans(c.text, c.generated)
		if err != nil {
			return nil, nil, 0, d.failed(r, err)
		}
		for i := range labels {
			if trained[i] {
				labels[i] = ids[i]
			}
		}
	} else {
		for _, from := range lengths {
			to := from + slices.IndexFunc(ids[from:], d.ending) + 1
			copy(labels[from:to], ids[from:to])
		}
	}
	if !slices.ContainsFunc(labels, func(label int32) bool { return label != ignored }) {
		return nil, nil, 0, d.fault(r, "no token of the answer is between {%% generation %%} and {%% endgeneration %%}")
	}
	return ids[:length:length], labels, prompt, nil
}

// ending reports whether a token ends an answer.
func (d *renderer) ending(id int32) bool { return slices.Contains(d.ends, id) }
