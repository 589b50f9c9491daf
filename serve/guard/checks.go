package guard

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"so8t/decision"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// language is what a guard needs of a model's tokenizer, worked out once a model.
type language struct {
	tokenizer Tokenizer
	decider   *decision.Decider
	control   []string // tokens by which a template marks turns
	marks     []int32  // their ids
	ends      []int32  // tokens that end an answer
}

// languageOf returns what belongs to m's tokenizer. Tokenizers are compared as interfaces: they are pointers.
func (g *Guard) languageOf(m Model) (*language, error) {
	t := m.Tokenizer()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.language != nil && g.language.tokenizer == t {
		return g.language, nil
	}
	l := &language{tokenizer: t}
	var err error
	if l.decider, err = decision.New(t); err != nil {
		return nil, err
	}
	if l.control, err = t.ControlTokens(); err != nil {
		return nil, err
	}
	for _, token := range l.control {
		if ids := t.Encode(token); len(ids) == 1 {
			l.marks = append(l.marks, ids[0])
		}
	}
	if l.ends, err = t.EndTokens(); err != nil {
		return nil, err
	}
	g.language = l
	return l, nil
}

// marked reports whether a text holds a control token, as it stands or as what the tokenizer's normalization makes of it.
func (l *language) marked(text string) bool {
	return slices.ContainsFunc(l.control, func(token string) bool { return strings.Contains(text, token) }) ||
		slices.ContainsFunc(l.tokenizer.Encode(text), func(id int32) bool { return slices.Contains(l.marks, id) })
}

// prompt is a request as the model reads it.
type prompt struct {
	text   string
	tokens []int32
	query  string // the last user turn
	bound  int    // tokens of the answer
}

// check refuses what must not be asked, and renders the rest. Earlier assistant turns go in as they are: what an answer's
// <final> held, without any thinking around it. Text that looks like tags of the thinking is only text: whatever the
// model makes of it, the filter reads the model's output alone.
func (g *Guard) check(r Request, m Model, l *language) (prompt, error) {
	if err := r.checkSampling(g.options.MaxNewTokens); err != nil {
		return prompt{}, err
	}
	if len(r.Messages) == 0 {
		return prompt{}, invalid("invalid_value", "messages", "there is no message")
	}
	for i, turn := range r.Messages {
		param := fmt.Sprintf("messages[%d].content", i)
		if !slices.Contains([]string{"system", "user", "assistant"}, turn.Role) {
			return prompt{}, invalid("invalid_value", fmt.Sprintf("messages[%d].role", i), "a role is system, user or assistant")
		}
		if l.marked(turn.Content) {
			return prompt{}, invalid("control_token", param, "the text holds a control token of the model")
		}
	}
	last := r.Messages[len(r.Messages)-1]
	if last.Role != "user" {
		return prompt{}, invalid("invalid_value", "messages", "the last message must be the user's")
	}
	turns := r.Messages
	if g.options.System != "" && !slices.ContainsFunc(turns, func(t tokenizer.Message) bool { return t.Role == "system" }) {
		turns = append([]tokenizer.Message{{Role: "system", Content: g.options.System}}, turns...)
	}
	text, err := l.tokenizer.ApplyChatTemplate(turns, true)
	if err != nil {
		return prompt{}, invalid("invalid_value", "messages", "the model's chat template does not take these turns")
	}
	p := prompt{text: text, tokens: l.tokenizer.Encode(text), query: last.Content, bound: r.MaxNewTokens}
	room := m.MaxLength() - len(p.tokens)
	if p.bound == 0 {
		p.bound = min(g.options.MaxNewTokens, max(room, 1))
	}
	if p.bound > room {
		return prompt{}, invalid("context_length_exceeded", "messages", fmt.Sprintf("%d tokens of messages and %d of the answer are more than the model's %d",
			len(p.tokens), p.bound, m.MaxLength()))
	}
	return p, nil
}

func (r Request) checkSampling(most int) error {
	switch {
	case r.MaxNewTokens < 0 || r.MaxNewTokens > most:
		return invalid("invalid_value", "max_new_tokens", fmt.Sprintf("max_new_tokens is 1 to %d", most))
	case !(r.Temperature >= 0) || math.IsInf(r.Temperature, 1):
		return invalid("invalid_value", "temperature", "temperature is 0 or more")
	case !(r.TopP >= 0 && r.TopP <= 1):
		return invalid("invalid_value", "top_p", "top_p is above 0 and at most 1")
	case slices.ContainsFunc(r.Stop, func(s string) bool { return s == "" || !utf8.ValidString(s) }):
		return invalid("invalid_value", "stop", "a stop string is text, and not empty")
	}
	return nil
}

// request is what the model is asked.
func (r Request) request(p prompt, l *language) engine.Request {
	return engine.Request{
		Prompt: p.tokens, MaxNewTokens: p.bound, EOS: l.ends, Temperature: r.Temperature, TopP: r.TopP, Seed: r.Seed,
		Client: r.Key + "\x00" + r.User,
	}
}

// stricter is the more cautious of two labels; either may be empty.
func stricter(a, b string) string {
	if quadruple.LabelIndex(a) > quadruple.LabelIndex(b) {
		return a
	}
	return b
}
