package record

import (
	"fmt"
	"strings"
)

// flatForm is a form that holds its prompt and its answer under a key each.
type flatForm struct {
	name           string
	prompt, answer []string // keys, of which the first with a value is read
}

var flatForms = []flatForm{
	{"alpaca", []string{"instruction"}, []string{"output", "response"}},
	{"prompt_completion", []string{"prompt"}, []string{"completion", "response"}},
	{"question_answer", []string{"question"}, []string{"answer"}},
}

// conversation reads the turns of a record in the form that the options name, or that its keys tell.
func (p *parser) conversation(rec *Record) (form string, f *fault) {
	auto := p.Format == "auto"
	if auto || p.Format == "messages" {
		if m := p.find("messages", []string{"messages"}); m != nil {
			return "messages", p.turns(rec, m)
		} else if !auto {
			return "", &fault{MissingField, p.nameOf("messages")}
		}
	}
	if auto || p.Format == "sharegpt" {
		if m := p.find("messages", []string{"conversations"}); m != nil {
			return "sharegpt", p.turns(rec, m)
		} else if !auto {
			return "", &fault{MissingField, p.nameOf("conversations")}
		}
	}
	begun := -1
	for i, form := range flatForms {
		prompt, answer := p.find("instruction", form.prompt), p.find("output", form.answer)
		if p.Format == form.name || auto && prompt != nil && answer != nil {
			return form.name, p.flat(rec, form, prompt, answer)
		}
		if begun < 0 && prompt != nil {
			begun = i
		}
	}
	if begun >= 0 {
		return "", &fault{MissingField, p.missing("output", flatForms[begun].answer)}
	}
	if p.Columns["instruction"] != "" {
		return "", &fault{MissingField, p.nameOf("instruction")}
	}
	return "", &fault{MissingField, "instruction, or messages, conversations, prompt, question"}
}

// missing names a field of a flat form by its keys.
func (p *parser) missing(field string, keys []string) string {
	if p.Columns[field] != "" || keys[0] == field {
		return p.nameOf(field)
	}
	return strings.Join(keys, " or ")
}

// flat reads a record whose prompt and answer are texts, or lists of turns.
func (p *parser) flat(rec *Record, form flatForm, prompt, answer *member) (f *fault) {
	if prompt == nil {
		return &fault{MissingField, p.missing("instruction", form.prompt)}
	}
	if form.name == "prompt_completion" && prompt.value.Kind() == '[' && (answer == nil || answer.value.Kind() == '[') {
		if answer == nil {
			return &fault{MissingField, p.missing("output", form.answer)}
		}
		return p.turns(rec, prompt, answer)
	}
	if rec.Instruction, f = p.required(prompt); f != nil {
		return f
	}
	if form.name == "alpaca" {
		keys := []string{"input"}
		if answer != nil && answer.key == "response" {
			keys = append(keys, "context") // as databricks-dolly-15k has it
		}
		if rec.Input, f = p.text(p.find("input", keys)); f != nil {
			return f
		}
	} else if p.Columns["input"] != "" {
		if rec.Input, f = p.text(p.find("input", nil)); f != nil {
			return f
		}
	}
	if rec.Earlier, f = p.history(); f != nil {
		return f
	}
	if answer == nil {
		return &fault{MissingField, p.missing("output", form.answer)}
	}
	rec.Output, f = p.required(answer)
	return f
}

// required is a text that may not be blank.
func (p *parser) required(m *member) (string, *fault) {
	text, f := p.text(m)
	if f == nil && strings.TrimSpace(text) == "" {
		f = &fault{EmptyField, m.path()}
	}
	return text, f
}

// history reads earlier turns as LLaMA-Factory has them: pairs of a prompt and its answer.
func (p *parser) history() (earlier []Turn, f *fault) {
	m := p.find("history", []string{"history"})
	if m == nil {
		return nil, nil
	}
	m.read = true
	if m.value.Kind() != '[' {
		return nil, wrongType(m)
	}
	for _, pair := range p.elements(m) {
		if pair.value.Kind() != '[' {
			return nil, wrongType(&pair)
		}
		texts := p.elements(&pair)
		if len(texts) != 2 {
			return nil, &fault{WrongType, fmt.Sprintf("%s has %d values, not a prompt and its answer", pair.path(), len(texts))}
		}
		for i, role := range []string{"user", "assistant"} {
			text, f := p.required(&texts[i])
			if f != nil {
				return nil, f
			}
			earlier = append(earlier, Turn{role, text})
		}
	}
	return earlier, nil
}
