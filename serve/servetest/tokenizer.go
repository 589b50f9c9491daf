package servetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"so8t/tokenizer"
)

// Tokenizer has a token for each byte, four control tokens, and one for each piece that a Model plays, so that text comes
// out exactly as it was given, cut as it was given, whether it is UTF-8 or not.
type Tokenizer struct {
	mu     sync.Mutex
	pieces []string // token firstPiece + i
	ids    map[string]int32
}

// controls have the tokens 256 and up.
var controls = []string{"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}

const (
	endToken   = 256 + 3
	firstPiece = 1000
)

// piece returns the token of a piece; a control token is itself.
func (t *Tokenizer) piece(text string) int32 {
	if i := slices.Index(controls, text); i >= 0 {
		return int32(256 + i)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.ids[text]
	if !ok {
		if t.ids == nil {
			t.ids = map[string]int32{}
		}
		id = firstPiece + int32(len(t.pieces))
		t.pieces, t.ids[text] = append(t.pieces, text), id
	}
	return id
}

// FullWidthEnd is what normalization makes <|end|> of.
const FullWidthEnd = "＜|end|＞"

// Encode takes control tokens as what they are, and other text byte by byte.
func (t *Tokenizer) Encode(text string) (ids []int32) {
next:
	for text != "" {
		if rest, ok := strings.CutPrefix(text, FullWidthEnd); ok {
			ids, text = append(ids, endToken), rest
			continue
		}
		for i, c := range controls {
			if strings.HasPrefix(text, c) {
				ids, text = append(ids, int32(256+i)), text[len(c):]
				continue next
			}
		}
		ids, text = append(ids, int32(text[0])), text[1:]
	}
	return ids
}

func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var b strings.Builder
	for _, id := range ids {
		if !skipSpecial || id < 256 || id >= firstPiece {
			b.WriteString(t.Bytes(id))
		}
	}
	return b.String()
}

func (t *Tokenizer) Bytes(id int32) string {
	switch {
	case 0 <= id && id < 256:
		return string([]byte{byte(id)})
	case 256 <= id && int(id) < 256+len(controls):
		return controls[id-256]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := int(id) - firstPiece; 0 <= i && i < len(t.pieces) {
		return t.pieces[i]
	}
	return ""
}

// ApplyChatTemplate writes turns as Phi-3 does.
func (t *Tokenizer) ApplyChatTemplate(messages []tokenizer.Message, addGenerationPrompt bool) (string, error) {
	var b strings.Builder
	for _, m := range messages {
		control := "<|" + m.Role + "|>"
		if !slices.Contains(controls[:3], control) {
			return "", fmt.Errorf("no turn is written for a role other than system, user and assistant")
		}
		b.WriteString(control + "\n" + m.Content + "<|end|>\n")
	}
	if addGenerationPrompt {
		b.WriteString("<|assistant|>\n")
	}
	return b.String(), nil
}

func (t *Tokenizer) EndTokens() ([]int32, error) { return []int32{endToken}, nil }
func (t *Tokenizer) ControlTokens() ([]string, error) {
	return slices.Sorted(slices.Values(controls)), nil
}
