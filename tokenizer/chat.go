package tokenizer

import (
	"errors"
	"fmt"

	"so8t/tokenizer/jinja"
)

// Message is one turn of a conversation. Role is system, user or assistant.
type Message struct{ Role, Content string }

// ErrNoTemplate is returned by ApplyChatTemplate and RenderChat if the model's folder has no chat template.
var ErrNoTemplate = errors.New("the tokenizer has no chat template")

// chat is the chat template, rendered as transformers does.
type chat struct {
	source   string // file and key
	digest   string
	special  map[string]string // bos_token, eos_token …
	template *jinja.Template
}

func (c *chat) parse(source, text string, special map[string]string) (err error) {
	c.source, c.special, c.digest = source, special, digestOf([]byte(text))
	if text == "" {
		return nil
	}
	if c.template, err = jinja.Parse(text); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// ApplyChatTemplate renders a conversation as the model was trained to see it. With
// addGenerationPrompt it ends where the assistant's answer begins.
func (t *Tokenizer) ApplyChatTemplate(messages []Message, addGenerationPrompt bool) (string, error) {
	r, err := t.RenderChat(messages, addGenerationPrompt)
	return r.Text, err
}

// RenderChat renders a conversation, with the stretches that {% generation %} blocks wrote. Errors name the file and key,
// and the line of the template.
func (t *Tokenizer) RenderChat(messages []Message, addGenerationPrompt bool) (jinja.Rendering, error) {
	c := &t.chat
	if c.template == nil {
		return jinja.Rendering{}, ErrNoTemplate
	}
	turns := make([]any, len(messages))
	for i, m := range messages {
		turns[i] = jinja.Dict{{Key: "role", Value: m.Role}, {Key: "content", Value: m.Content}}
	}
	variables := make(map[string]any, len(c.special)+4)
	for key, content := range c.special {
		variables[key] = content
	}
	variables["messages"], variables["add_generation_prompt"] = turns, addGenerationPrompt
	variables["tools"], variables["documents"] = nil, nil // as transformers passes them
	r, err := c.template.Render(variables, jinja.Limits{})
	if err != nil {
		return jinja.Rendering{}, fmt.Errorf("%s: %w", c.source, err)
	}
	return r, nil
}

// HasGenerationMarkers reports whether the chat template marks the assistant's tokens with {% generation %}.
func (t *Tokenizer) HasGenerationMarkers() bool {
	return t.chat.template != nil && t.chat.template.HasGeneration()
}
