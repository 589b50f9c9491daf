// Package decision finds out which of the four labels a model gives a prompt: by their likelihood behind the model's own
// think-task. Evaluation and serving decide by it alike, so that what was evaluated is what is served.
package decision

import (
	"so8t/tokenizer"
)

// Tokenizer is the interface of the model's tokenizer; *tokenizer.Tokenizer implements it.
type Tokenizer interface {
	Encode(text string) []int32
	Decode(ids []int32, skipSpecial bool) string
	ApplyChatTemplate(messages []tokenizer.Message, addGenerationPrompt bool) (string, error)
}
