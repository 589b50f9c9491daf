package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// EndTokens returns the tokens that end an answer: the special token behind the assistant's turn in the chat template, and
// eos_token.
func (t *Tokenizer) EndTokens() ([]int32, error) {
	const answer = "answer"
	text, err := t.ApplyChatTemplate([]Message{{"user", "?"}, {"assistant", answer}}, false)
	if err != nil {
		return nil, fmt.Errorf("end tokens: %w", err)
	}
	var ends []int32
	_, behind, _ := strings.Cut(text, answer)
	for _, id := range t.Encode(behind) {
		if t.IsSpecial(id) {
			ends = append(ends, id)
			break
		}
	}
	if id, ok := t.ids[t.chat.special["eos_token"]]; ok {
		ends = append(ends, id)
	}
	slices.Sort(ends)
	return slices.Compact(ends), nil
}
