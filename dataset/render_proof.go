package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"so8t/dataset/record"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// conversation is a rendered record in which every turn has been found.
type conversation struct {
	text      string
	prompts   []int    // lengths in bytes of the prompts of the trained turns, the answer's last
	generated [][2]int // what the template's markers say is trained, in bytes of text
}

// render renders the turns of a record, the answer last, and proves that nothing is lost: each turn stands in the text in
// order, as it is but for white space at its ends, which many templates trim; and the text begins with the prompt of
// each trained turn.
func (d *renderer) render(r *record.Record, turns []tokenizer.Message) (*conversation, error) {
	whole, err := d.tok.RenderChat(turns, false)
	if err != nil {
		return nil, d.failed(r, err)
	}
	if lost := d.lost(turns); lost != "" {
		return nil, d.fault(r, "%s", lost)
	}
	c := &conversation{text: whole.Text}
	at := 0
	for i, t := range turns {
		content := trimmed(t.Content)
		found := strings.Index(c.text[at:], content)
		if found < 0 {
			return nil, d.fault(r, "%s is changed or written in part", turnName(turns, i))
		}
		at += found + len(content)
	}
	for i, t := range turns {
		last := i == len(turns)-1
		if !last && !(d.everyTurn() && t.Role == "assistant") {
			continue
		}
		prompt, err := d.tok.ApplyChatTemplate(turns[:i], true)
		if err != nil {
			return nil, d.failed(r, err)
		}
		if !strings.HasPrefix(c.text, prompt) {
			return nil, d.fault(r, "the conversation does not begin with the prompt of %s (add_generation_prompt)", turnName(turns, i))
		}
		c.prompts = append(c.prompts, len(prompt))
	}
	for _, span := range whole.Generated {
		if d.TrainOn == trainOnAssistant || span[1] > c.prompts[len(c.prompts)-1] {
			c.generated = append(c.generated, span)
		}
	}
	return c, nil
}

// everyTurn reports whether each assistant turn is trained from behind its prompt: no markers say what is.
func (d *renderer) everyTurn() bool {
	return d.TrainOn == trainOnAssistant && !d.tok.HasGenerationMarkers()
}

// trimmed cuts white space as Python's strip does.
func trimmed(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f' })
}

// turnName is how errors call a turn.
func turnName(turns []tokenizer.Message, i int) string {
	first := 0 // of the record's turns
	if turns[0].Role == "system" {
		first = 1
	}
	switch {
	case i < first:
		return "the system turn"
	case i == len(turns)-1:
		return "the answer"
	case i == len(turns)-2:
		return "the user's turn"
	}
	return fmt.Sprintf("turns[%d] (%s)", i-first, turns[i].Role)
}

// maxProofs limits the sequences of roles whose proof is kept.
const maxProofs = 1 << 12

// lost returns what the template does wrong with conversations of these roles, "" for nothing. The texts of a record may
// stand in each other, or be what the template writes by itself; here each turn is a text that is nowhere else.
func (d *renderer) lost(turns []tokenizer.Message) string {
	roles := make([]byte, len(turns))
	for i, t := range turns {
		roles[i] = t.Role[0]
	}
	if lost, ok := d.proofs.Load(string(roles)); ok {
		return lost.(string)
	}
	lost := d.prove(turns)
	if d.proved.Add(1) <= maxProofs {
		d.proofs.Store(string(roles), lost)
	}
	return lost
}

func (d *renderer) prove(turns []tokenizer.Message) string {
	turns = slices.Clone(turns)
	for i := range turns {
		turns[i].Content = d.stand(turns, i)
	}
	text, err := d.tok.ApplyChatTemplate(turns, false)
	if err != nil {
		return err.Error()
	}
	at := 0
	for i, t := range turns {
		name := turnName(turns, i)
		found := strings.Index(text, t.Content)
		switch {
		case found < 0 && strings.Contains(text, mark(i)):
			return name + " is changed or written in part"
		case found < 0:
			return name + " is not written"
		case strings.Count(text, t.Content) > 1:
			return name + " is written more than once"
		case found < at:
			return name + " is written out of order"
		}
		if i > 0 && d.everyTurn() && turns[i-1].Role == "assistant" && !d.ended(text[at:found]) {
			return "nothing ends " + turnName(turns, i-1)
		}
		at = found + len(t.Content)
	}
	return ""
}

// mark is a number that stands for a turn: of digits alone, and short, so that a template which changes other text, or
// long text, is held to that by the records that have such text and by no others.
func mark(i int) string { return strconv.Itoa(52_740_000 + i) }

// stand is the text that stands for a turn: its mark, in the quadruple form where the turn has that.
func (d *renderer) stand(turns []tokenizer.Message, i int) string {
	answer := i == len(turns)-1 || turns[i].Role == "assistant" && d.TrainOn == trainOnAssistant
	if answer && d.inForm() {
		return quadruple.Quadruple{Safety: quadruple.DecisionLine(quadruple.Labels[0]), Final: mark(i)}.String()
	}
	return mark(i)
}

// ended reports whether a token that ends an answer stands in the text.
func (d *renderer) ended(text string) bool {
	return slices.ContainsFunc(d.tok.Encode(text), d.ending)
}
