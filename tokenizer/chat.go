package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// Message is one turn of a conversation. Role is system, user or assistant.
type Message struct{ Role, Content string }

// ErrNoTemplate is returned by ApplyChatTemplate if the model's folder has no chat template.
var ErrNoTemplate = errors.New("the tokenizer has no chat template")

// chat is the Jinja chat template, set up as transformers does: trim_blocks, lstrip_blocks, no files to include.
type chat struct {
	source   string // file and key
	digest   string
	special  map[string]string // bos_token, eos_token …
	template *exec.Template
	mu       sync.Mutex // gonja does not promise that a template may be executed concurrently
}

func (c *chat) parse(source, text string, special map[string]string) (err error) {
	c.source, c.special, c.digest = source, special, digestOf([]byte(text))
	if text == "" {
		return nil
	}
	if err := checkSize(text); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	defer recovered(source, &err)
	const name = "/chat_template"
	options := config.New()
	options.TrimBlocks, options.LeftStripBlocks = true, true
	loader, err := loaders.NewMemoryLoader(map[string]string{name: text})
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	environment := &exec.Environment{
		Context:           exec.EmptyContext().Update(builtins.GlobalFunctions),
		Filters:           builtins.Filters,
		Tests:             builtins.Tests,
		ControlStructures: statements(),
		Methods:           builtins.Methods,
	}
	if c.template, err = exec.NewTemplate(name, options, loader, environment); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// recovered turns a panic of the template engine, which untrusted text can cause, into an error.
func recovered(source string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: the template engine failed: %v", source, r)
	}
}

// ApplyChatTemplate renders a conversation as the model was trained to see it. With
// addGenerationPrompt it ends where the assistant's answer begins.
func (t *Tokenizer) ApplyChatTemplate(messages []Message, addGenerationPrompt bool) (text string, err error) {
	c := &t.chat
	if c.template == nil {
		return "", ErrNoTemplate
	}
	turns := make([]any, len(messages))
	size := 0
	for i, m := range messages {
		size += len(m.Role) + len(m.Content)
		turns[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	var raised error
	variables := map[string]any{
		"messages":              turns,
		"add_generation_prompt": addGenerationPrompt,
		"range":                 rangeFunction(),
		"raise_exception": func(message string) (string, error) {
			raised = errors.New(message)
			return "", raised
		},
	}
	for key, content := range c.special {
		variables[key] = content
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer recovered(c.source, &err)
	var b strings.Builder
	err = c.template.Execute(&limited{&b, 16*size + maxTemplateBytes}, exec.NewContext(variables))
	if raised != nil {
		err = raised // without the engine's traceback
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.source, err)
	}
	return b.String(), nil
}
