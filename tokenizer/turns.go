package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EndTokens are the ids that end an answer: the special token that ends the assistant's turn in the chat template,
// eos_token of tokenizer_config.json and eos_token_id of generation_config.json. They are sorted, each once.
// Rendering, evaluation and serving all stop by them.
func (t *Tokenizer) EndTokens() ([]int32, error) {
	ids := slices.Clone(t.generationEnd)
	for _, id := range ids {
		if _, ok := t.Token(id); !ok {
			return nil, fmt.Errorf("generation_config.json: eos_token_id: %d is not in tokenizer.json", id)
		}
	}
	if id, ok := t.ids[t.chat.special["eos_token"]]; ok {
		ids = append(ids, id)
	}
	end, err := t.turnEnd()
	switch {
	case errors.Is(err, ErrNoTemplate):
	case err != nil:
		return nil, err
	case end >= 0:
		ids = append(ids, end)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// probes are conversations that a template may refuse: some demand a system turn, some forbid one.
var probes = [][]Message{
	{{"user", "u"}, {"assistant", probeAnswer}},
	{{"system", "s"}, {"user", "u"}, {"assistant", probeAnswer}},
}

const probeAnswer = "answer"

// turnEnd is the first special token behind the assistant's answer, or -1.
func (t *Tokenizer) turnEnd() (int32, error) {
	var failed error
	for _, turns := range probes {
		text, err := t.ApplyChatTemplate(turns, false)
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		at := strings.LastIndex(text, probeAnswer)
		if at < 0 {
			return -1, fmt.Errorf("%s: the assistant's turn is not in the rendered conversation", t.chat.source)
		}
		for _, id := range t.Encode(text[at+len(probeAnswer):]) {
			if t.IsSpecial(id) {
				return id, nil
			}
		}
		return -1, nil
	}
	return -1, failed
}

// ControlTokens are the contents that no text of a record may hold: the special tokens that the chat template writes, and
// the end tokens. They are sorted.
func (t *Tokenizer) ControlTokens() ([]string, error) {
	ends, err := t.EndTokens()
	if err != nil {
		return nil, err
	}
	found := map[int32]bool{}
	for _, id := range ends {
		found[id] = true
	}
	for _, turns := range probes {
		for _, prompt := range []bool{false, true} {
			if prompt {
				turns = turns[:len(turns)-1]
			}
			text, err := t.ApplyChatTemplate(turns, prompt)
			if err != nil {
				continue // what the template refuses, no record is rendered with
			}
			for _, id := range t.Encode(text) {
				if t.IsSpecial(id) {
					found[id] = true
				}
			}
		}
	}
	var contents []string
	for id := range found {
		content, _ := t.Token(id)
		contents = append(contents, content)
	}
	slices.Sort(contents)
	return contents, nil
}

// loadGeneration reads eos_token_id, a number or a list, of generation_config.json where there is one.
func (t *Tokenizer) loadGeneration(dir string) error {
	const name = "generation_config.json"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var config struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if isNull(config.EOS) {
		return nil
	}
	var one int32
	if json.Unmarshal(config.EOS, &one) == nil {
		t.generationEnd = []int32{one}
	} else if err := json.Unmarshal(config.EOS, &t.generationEnd); err != nil {
		return fmt.Errorf("%s: eos_token_id: %.60s is neither a number nor a list of numbers", name, config.EOS)
	}
	return nil
}
