package dataset

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"so8t/dataset/record"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// ignored is the label of a token that the loss does not count.
const ignored = -100

// Prompt is the conversation up to the assistant's turn: system, where there is one, and the user's
// turn, which is the instruction and, after an empty line, the input.
func Prompt(r record.Record) []tokenizer.Message {
	var turns []tokenizer.Message
	if r.System != "" {
		turns = append(turns, tokenizer.Message{Role: "system", Content: r.System})
	}
	user := r.Instruction
	if r.Input != "" {
		user += "\n\n" + r.Input
	}
	return append(turns, tokenizer.Message{Role: "user", Content: user})
}

// Assistant is the assistant's turn in the quadruple form. An output already in that form is taken as it is; one that
// lacks only the line "decision: LABEL" is given it; any other is wrapped, with the record's labels as its thinking.
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

// renderer turns records into samples.
type renderer struct {
	tok      *tokenizer.Tokenizer
	thinking bool     // the assistant's turn takes the quadruple form
	end      int32    // ends the assistant's turn: <|end|>
	controls []string // the special tokens that the template itself writes
}

// newRenderer renders an example to find how the chat template marks turns.
func newRenderer(tok *tokenizer.Tokenizer, thinking bool) (*renderer, error) {
	d := &renderer{tok: tok, thinking: thinking, end: -1}
	example := record.Record{System: "s", Instruction: "u"}
	prompt, whole, err := d.texts(example, "a")
	if err != nil {
		return nil, err
	}
	for _, id := range tok.Encode(whole) {
		if content, _ := tok.Token(id); tok.IsSpecial(id) && !slices.Contains(d.controls, content) {
			d.controls = append(d.controls, content)
		}
	}
	for _, id := range tok.Encode(whole)[len(tok.Encode(prompt)):] {
		if tok.IsSpecial(id) {
			d.end = id
			break
		}
	}
	if d.end < 0 {
		return nil, &InputError{fmt.Errorf("chat template: no special token ends the assistant's turn in %q", whole)}
	}
	return d, nil
}

// texts renders the prompt as generation sees it, and the whole conversation, which begins with it.
func (d *renderer) texts(r record.Record, answer string) (prompt, whole string, err error) {
	turns := Prompt(r)
	if prompt, err = d.tok.ApplyChatTemplate(turns, true); err != nil {
		return "", "", &InputError{err}
	}
	turns = append(turns, tokenizer.Message{Role: "assistant", Content: answer})
	if whole, err = d.tok.ApplyChatTemplate(turns, false); err != nil {
		return "", "", &InputError{err}
	}
	if !strings.HasPrefix(whole, prompt) {
		return "", "", &InputError{fmt.Errorf("chat template: a conversation does not begin with its prompt (add_generation_prompt)")}
	}
	return prompt, whole, nil
}

// check returns why a record would make a wrong sample; reason is empty if it would not.
func (d *renderer) check(r *record.Record) (reason record.Reason, detail string) {
	for _, field := range [...]struct{ name, text string }{
		{"system", r.System}, {"instruction", r.Instruction}, {"input", r.Input}, {"output", r.Output},
		{"domain_label", r.DomainLabel}, {"safety_label", r.SafetyLabel},
	} {
		for _, control := range d.controls {
			if strings.Contains(field.text, control) {
				return record.ControlToken, field.name + " contains " + control
			}
		}
	}
	if !d.thinking {
		return "", ""
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

// sample renders the record. Its labels are −100 on the prompt, and the ids themselves on the assistant's tokens and
// the token that ends its turn, where the sample ends too.
//
// The ids are those of the whole conversation encoded at once, as Hugging Face does it, and begin with the ids of
// the prompt as generation sees it: behind <|assistant|>, whose rstrip takes the line feed, the answer is a
// segment of its own either way.
func (d *renderer) sample(r *record.Record) (Sample, error) {
	answer := r.Output
	if d.thinking {
		answer = Assistant(*r)
	}
	promptText, wholeText, err := d.texts(*r, answer)
	if err != nil {
		return Sample{}, err
	}
	prompt, ids := d.tok.Encode(promptText), d.tok.Encode(wholeText)
	if len(ids) < len(prompt) || !slices.Equal(ids[:len(prompt)], prompt) {
		return Sample{}, &InputError{fmt.Errorf(
			"line %d: chat template: the tokens of the prompt are not the first tokens of the conversation", r.Line)}
	}
	length := slices.Index(ids[len(prompt):], d.end)
	if length < 0 {
		return Sample{}, &InputError{fmt.Errorf("line %d: chat template: nothing ends the assistant's turn", r.Line)}
	}
	ids = ids[:len(prompt)+length+1]
	labels := slices.Clone(ids)
	for i := range prompt {
		labels[i] = ignored
	}
	digest := r.Digest()
	return Sample{InputIDs: ids, Labels: labels, PromptLength: len(prompt), Label: r.FourClassLabel, Domain: r.DomainLabel,
		SourceLine: r.Line, Digest: hex.EncodeToString(digest[:])}, nil
}
