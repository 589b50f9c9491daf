package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Tokenizer is a loaded tokenizer.json with its chat template.
type Tokenizer struct {
	normalizer []normalizeStep
	added      addedTokens // matched in the raw text
	addedNorm  addedTokens // "normalized": true, matched in the normalised segment
	declared   map[string]addedJSON
	bpe        *bpe
	decoder    decoder

	ids    map[string]int32 // content → id, added tokens included
	pieces []piece          // by id
	chat   chat

	generationEnd []int32 // eos_token_id of generation_config.json

	digest   string
	encoders sync.Pool // *encoder
}

// piece is what one id stands for.
type piece struct {
	text    string // as written in tokenizer.json
	decoded string // after the decoder's Replace
	byteVal int16  // 0–255 for a byte token <0xNN>, else -1
	known   bool   // false in a gap between ids
	special bool   // left out by skipSpecial
}

// Load reads tokenizer.json and tokenizer_config.json (and chat_template.jinja and generation_config.json, where there
// are any) from a model's folder. Errors name the file and the key.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer %s: tokenizer.json: %w", dir, err)
	}
	if err := t.loadConfig(dir); err != nil {
		return nil, fmt.Errorf("load tokenizer %s: %w", dir, err)
	}
	if err := t.loadGeneration(dir); err != nil {
		return nil, fmt.Errorf("load tokenizer %s: %w", dir, err)
	}
	return t, nil
}

// VocabSize is the largest id plus one; the model's vocab_size must not be smaller.
func (t *Tokenizer) VocabSize() int { return len(t.pieces) }

// ID returns the id of the token with exactly this content.
func (t *Tokenizer) ID(content string) (int32, bool) {
	id, ok := t.ids[content]
	return id, ok
}

// Token returns the content of an id as tokenizer.json writes it ("▁the", "<0x0A>", "<|end|>").
func (t *Tokenizer) Token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(t.pieces) || !t.pieces[id].known {
		return "", false
	}
	return t.pieces[id].text, true
}

// IsSpecial reports whether id is a special added token, such as those with which a chat template marks turns.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.pieces) && t.pieces[id].special
}

// Digest is the hex SHA-256 of tokenizer.json.
func (t *Tokenizer) Digest() string { return t.digest }

// TemplateDigest is the hex SHA-256 of the chat template's text.
func (t *Tokenizer) TemplateDigest() string { return t.chat.digest }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
