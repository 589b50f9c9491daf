package decision

import (
	"errors"
	"fmt"
	"slices"

	"so8t/quadruple"
	"so8t/tokenizer"
)

// Tokenizer is the interface of the model's tokenizer; *tokenizer.Tokenizer implements it.
type Tokenizer interface {
	Encode(text string) []int32
	Decode(ids []int32, skipSpecial bool) string
	ApplyChatTemplate(messages []tokenizer.Message, addGenerationPrompt bool) (string, error)
}

// Decider tokenises the places of labels. It holds the assistant's header, which it puts before every text that it
// tokenises, since the first tokens of an answer depend on it. Its errors quote nothing of a text.
type Decider struct {
	tokenizer Tokenizer
	headText  string
	head      []int32
}

// New renders the assistant's header with the model's chat template.
func New(t Tokenizer) (*Decider, error) {
	head, err := t.ApplyChatTemplate([]tokenizer.Message{{Role: "user", Content: "?"}}, true)
	if err != nil {
		return nil, fmt.Errorf("render the assistant's header: %w", err)
	}
	ids := t.Encode(head)
	if len(ids) == 0 {
		return nil, errors.New("render the assistant's header: the chat template gives no tokens")
	}
	return &Decider{tokenizer: t, headText: head, head: ids}, nil
}

// EndsInHeader reports whether a prompt ends where the assistant's answer begins.
func (d *Decider) EndsInHeader(prompt []int32) bool {
	return len(prompt) > 0 && prompt[len(prompt)-1] == d.head[len(d.head)-1]
}

// Scoring is what a model scores behind a prompt: the continuation of each label behind one context, in tokens.
type Scoring struct {
	Context       []int32
	Continuations [4][]int32 // in the order of quadruple.Labels; none is empty
}

// Split tokenises context + label + tail as one text for each label, as in training, and divides the four where they begin
// to differ. It ends each with the first token that reaches beyond the label: the line end, or whatever closes the label in
// the model's own answer. The tail is included because a vocabulary may merge that line end with what follows it.
func (d *Decider) Split(at Place) (Scoring, error) {
	var whole [4][]int32
	for i, label := range quadruple.Labels {
		ids, err := d.encode(at.Context + label + at.Tail)
		if err != nil {
			return Scoring{}, err
		}
		end, err := d.closed(ids, at.Context+label)
		if err != nil {
			return Scoring{}, fmt.Errorf("%s: %w", label, err)
		}
		whole[i] = ids[:end]
	}
	common := commonPrefix(whole[:])
	s := Scoring{Context: whole[0][:common]}
	for i := range whole {
		s.Continuations[i] = whole[i][common:]
		if len(s.Continuations[i]) == 0 {
			return s, fmt.Errorf("the tokens of %s begin those of another label", quadruple.Labels[i])
		}
	}
	return s, nil
}

// encode returns the tokens of an assistant's text as in training: those behind the header.
func (d *Decider) encode(text string) ([]int32, error) {
	ids := d.tokenizer.Encode(d.headText + text)
	if !slices.Equal(ids[:min(len(d.head), len(ids))], d.head) {
		return nil, errors.New("the tokenizer merges the assistant's header with the answer's first characters")
	}
	return ids[len(d.head):], nil
}

// closed returns the number of ids up to and including the first one that reaches beyond text.
func (d *Decider) closed(ids []int32, text string) (int, error) {
	alone, err := d.encode(text)
	if err != nil {
		return 0, err
	}
	length := len(d.tokenizer.Decode(alone, false)) // not len(text): some added tokens strip white space
	// The two tokenisations differ by a few tokens at the end of text, and nowhere else.
	for n := commonPrefix([][]int32{alone, ids}) + 1; n <= len(ids); n++ {
		if len(d.tokenizer.Decode(ids[:n], false)) > length {
			return n, nil
		}
	}
	return 0, errors.New("no token closes the label")
}

func commonPrefix(of [][]int32) int {
	n := 0
	for ; n < len(of[0]); n++ {
		for _, ids := range of[1:] {
			if n >= len(ids) || ids[n] != of[0][n] {
				return n
			}
		}
	}
	return n
}
