package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// loadConfig reads the chat template and its special tokens. transformers lets tokenizer_config.json override
// tokenizer.json's added tokens; here the two must agree, and a difference is an error.
func (t *Tokenizer) loadConfig(dir string) error {
	const name = "tokenizer_config.json"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := t.checkAdded(raw["added_tokens_decoder"]); err != nil {
		return fmt.Errorf("%s: added_tokens_decoder%w", name, err)
	}
	special, err := t.specialTokens(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	template, err := templateOf(raw["chat_template"])
	if err != nil {
		return fmt.Errorf("%s: chat_template: %w", name, err)
	}
	source := name + ": chat_template"
	// As in transformers, chat_template.jinja takes precedence over the key.
	switch data, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja")); {
	case err == nil:
		template, source = string(data), "chat_template.jinja"
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return t.chat.parse(source, template, special)
}

// checkAdded compares added_tokens_decoder with tokenizer.json.
func (t *Tokenizer) checkAdded(raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	var tokens map[string]addedJSON
	if err := json.Unmarshal(raw, &tokens); err != nil {
		return fmt.Errorf(": %w", err)
	}
	keys := make([]string, 0, len(tokens))
	for key := range tokens {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		token := tokens[key]
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return fmt.Errorf(".%q: not an id", key)
		}
		token.ID = id
		have, ok := t.declared[token.Content]
		if !ok {
			return fmt.Errorf(".%s: %q is not among the added_tokens of tokenizer.json", key, token.Content)
		}
		if have != token {
			return fmt.Errorf(".%s: %s differs from the added_tokens of tokenizer.json: %s", key, flags(token), flags(have))
		}
	}
	return nil
}

func flags(a addedJSON) string {
	return fmt.Sprintf("%q id=%d single_word=%t lstrip=%t rstrip=%t normalized=%t special=%t",
		a.Content, a.ID, a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special)
}

// specialTokens returns every bos_token, eos_token … of the configuration: a string, or an object with "content".
func (t *Tokenizer) specialTokens(raw map[string]json.RawMessage) (map[string]string, error) {
	special := map[string]string{}
	for _, key := range []string{"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"} {
		value := raw[key]
		if isNull(value) {
			continue
		}
		var content string
		if json.Unmarshal(value, &content) != nil {
			var token struct {
				Content *string `json:"content"`
			}
			if err := json.Unmarshal(value, &token); err != nil || token.Content == nil {
				return nil, fmt.Errorf("%s: %.60s is neither a string nor a token", key, value)
			}
			content = *token.Content
		}
		if _, ok := t.ids[content]; !ok {
			return nil, fmt.Errorf("%s: %q is not in tokenizer.json", key, content)
		}
		special[key] = content
	}
	return special, nil
}

// templateOf reads a template, or the one named "default" of a list.
func templateOf(raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var template string
	if json.Unmarshal(raw, &template) == nil {
		return template, nil
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", err
	}
	var names []string
	for _, entry := range list {
		if entry.Name == "default" {
			return entry.Template, nil
		}
		names = append(names, entry.Name)
	}
	return "", fmt.Errorf("none of %s is named default", strings.Join(names, ", "))
}
