package api

import (
	"strings"

	"so8t/tokenizer"
)

// roles maps the roles of a message to the chat template's.
var roles = map[string]string{"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

// messages reads a conversation whose last turn is the user's.
func messages(f *fields) ([]tokenizer.Message, *failure) {
	if !f.has("messages") {
		return nil, refuse("missing_required_parameter", "messages", "messages is required")
	}
	list := elements(f.values["messages"])
	if len(list) == 0 {
		return nil, refuse("invalid_type", "messages", "messages must be a list of at least one message")
	}
	var all []tokenizer.Message
	for i, v := range list {
		m, fault := parse(v, indexed("messages", i)+".")
		if fault != nil {
			return nil, fault
		}
		role, known := roles[m.required("role")]
		if m.failure == nil && !known {
			m.fault("unsupported_parameter", "role", "must be system, developer, user or assistant")
		}
		for _, name := range []string{"tool_calls", "function_call", "audio"} {
			if v, has := m.values[name]; has && !asksNothing(v, "") {
				m.fault("unsupported_parameter", name, "is not supported")
			}
		}
		content := m.content()
		if m.failure != nil {
			return nil, m.failure
		}
		all = append(all, tokenizer.Message{Role: role, Content: content})
	}
	last := all[len(all)-1]
	switch name := indexed("messages", len(all)-1); {
	case last.Role == "assistant":
		return nil, refuse("unsupported_parameter", name+".role", "the last message must be the user's: an answer cannot be begun for the model")
	case last.Role != "user":
		return nil, refuse("invalid_value", name+".role", "the last message must be the user's")
	case strings.TrimSpace(last.Content) == "":
		return nil, refuse("invalid_value", name+".content", "the last message must not be blank")
	}
	return all, nil
}

// content reads a message's text: a string, or parts of type text, which are joined.
func (f *fields) content() string {
	v, ok := f.values["content"]
	switch {
	case !ok:
		f.fault("missing_required_parameter", "content", "is required")
	case v.Kind() == '"':
		return unquote(v)
	case v.Kind() != '[':
		f.fault("invalid_type", "content", "must be a string or a list of parts")
	}
	var b strings.Builder
	for i, v := range elements(v) {
		part, fault := parse(v, f.path+indexed("content", i)+".")
		if fault == nil {
			if kind := part.required("type"); part.failure == nil && kind != "text" {
				part.fault("unsupported_parameter", "type", "must be text")
			}
			b.WriteString(part.required("text"))
			fault = part.failure
		}
		if fault != nil && f.failure == nil {
			f.failure = fault
		}
	}
	return b.String()
}
