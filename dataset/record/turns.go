package record

import (
	"bytes"
	"fmt"
	"strings"
)

// roles are the names that the turns of a conversation have, in messages and in ShareGPT's from.
var roles = map[string]string{
	"system": "system", "developer": "system",
	"user": "user", "human": "user",
	"assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant",
}

// turns reads lists of turns, one behind the other, as a conversation.
func (p *parser) turns(rec *Record, lists ...*member) *fault {
	var all []Turn
	for _, list := range lists {
		list.read = true
		if list.value.Kind() != '[' {
			return wrongType(list)
		}
		for _, m := range p.elements(list) {
			turn, f := p.turn(list.key, &m)
			switch {
			case f != nil:
				return f
			case turn.Role == "system" && (len(all) > 0 || rec.System != "" && rec.System != turn.Content):
				return &fault{MisplacedSystem, m.path()}
			case turn.Role == "system":
				rec.System = turn.Content
			default:
				all = append(all, turn)
			}
		}
	}
	key := lists[0].key
	n := len(all)
	switch {
	case n == 0 && rec.System == "":
		return &fault{EmptyField, key}
	case n == 0 || all[n-1].Role != "assistant":
		return &fault{NoAnswer, fmt.Sprintf("%s does not end with the assistant", lists[len(lists)-1].key)}
	case n == 1 || all[n-2].Role != "user":
		return &fault{NoPrompt, fmt.Sprintf("%s: no user's turn before the last", key)}
	}
	rec.Instruction, rec.Output = all[n-2].Content, all[n-1].Content
	if n > 2 {
		rec.Earlier = all[: n-2 : n-2]
	}
	return nil
}

// turn reads one turn. Keys besides its role and content are counted by the list's name.
func (p *parser) turn(list string, m *member) (t Turn, f *fault) {
	if m.value.Kind() != '{' {
		return t, wrongType(m)
	}
	var role, content *member
	inside := p.inside(m)
	for i := range inside {
		part := &inside[i]
		part.of = m
		switch string(part.name) {
		case "role", "from":
			role = part
		case "content", "value":
			content = part
		default:
			p.passOver(list, part.name)
		}
	}
	if role == nil || role.value.Kind() == 'n' {
		return t, &fault{MissingField, m.path() + ".role"}
	}
	name, f := p.text(role)
	if f != nil {
		return t, f
	}
	if t.Role = roles[name]; t.Role == "" {
		return t, &fault{UnknownRole, fmt.Sprintf("%s is %s", role.path(), quoted(name))}
	}
	if content == nil || content.value.Kind() == 'n' {
		return t, &fault{MissingField, m.path() + ".content"}
	}
	if t.Content, f = p.content(content); f == nil && strings.TrimSpace(t.Content) == "" && t.Role != "system" {
		f = &fault{EmptyField, content.path()}
	}
	return t, f
}

// content reads a turn's text: a string, or a list of parts {"type": "text", "text": …}.
func (p *parser) content(m *member) (string, *fault) {
	if m.value.Kind() != '[' {
		return p.text(m)
	}
	var text bytes.Buffer
	for _, part := range p.elements(m) {
		if part.value.Kind() != '{' {
			return "", wrongType(&part)
		}
		inside := p.inside(&part)
		if kind := keyOf(inside, "type"); kind != nil && kind.value.Kind() == '"' && string(unquote(kind.value)) != "text" {
			return "", &fault{NotText, fmt.Sprintf("%s is %s", part.path(), quoted(unquote(kind.value)))}
		}
		words := keyOf(inside, "text")
		if words == nil {
			return "", &fault{MissingField, part.path() + ".text"}
		}
		if words.of = &part; words.value.Kind() != '"' {
			return "", wrongType(words)
		}
		text.Write(unquote(words.value))
	}
	return text.String(), nil
}
