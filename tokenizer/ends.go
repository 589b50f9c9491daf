package tokenizer

import (
	"errors"
	"slices"

	"so8t/tokenizer/jinja"
)

func (t *Tokenizer) RenderChat(messages []Message, addGenerationPrompt bool) (jinja.Rendering, error) {
	text, err := t.ApplyChatTemplate(messages, addGenerationPrompt)
	return jinja.Rendering{Text: text}, err
}

func (t *Tokenizer) HasGenerationMarkers() bool { return false }

func (t *Tokenizer) EncodeSpans(text string, spans [][2]int) (ids []int32, inSpan []bool, err error) {
	return nil, nil, errors.New("not here")
}

func (t *Tokenizer) EndTokens() ([]int32, error) {
	var ends []int32
	prompt, err := t.ApplyChatTemplate([]Message{{"user", "u"}}, true)
	if err != nil {
		return nil, err
	}
	whole, err := t.ApplyChatTemplate([]Message{{"user", "u"}, {"assistant", "a"}}, false)
	if err != nil {
		return nil, err
	}
	if ids := t.Encode(whole); len(prompt) < len(whole) {
		for _, id := range ids[len(t.Encode(prompt)):] {
			if t.IsSpecial(id) {
				ends = append(ends, id)
				break
			}
		}
	}
	if id, ok := t.ids[t.chat.special["eos_token"]]; ok {
		ends = append(ends, id)
	}
	slices.Sort(ends)
	if ends = slices.Compact(ends); len(ends) == 0 {
		return nil, errors.New("chat template: no special token ends the assistant's turn")
	}
	return ends, nil
}

func (t *Tokenizer) ControlTokens() ([]string, error) {
	ends, err := t.EndTokens()
	if err != nil {
		return nil, err
	}
	for _, messages := range [][]Message{{{"user", "u"}, {"assistant", "a"}}, {{"system", "s"}, {"user", "u"}, {"assistant", "a"}}} {
		if text, err := t.ApplyChatTemplate(messages, false); err == nil {
			for _, id := range t.Encode(text) {
				if t.IsSpecial(id) {
					ends = append(ends, id)
				}
			}
		}
	}
	slices.Sort(ends)
	var contents []string
	for _, id := range slices.Compact(ends) {
		content, _ := t.Token(id)
		contents = append(contents, content)
	}
	return contents, nil
}
