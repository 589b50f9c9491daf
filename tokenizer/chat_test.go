package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChatTemplate(t *testing.T) {
	tok := load(t, "fallback")
	turns := []Message{{"system", "規則 <&> {{ 1 }}"}, {"user", " 質問\n"}, {"assistant", "答え"}}
	got, err := tok.ApplyChatTemplate(turns, false)
	if want := "<|system|>\n規則 <&> {{ 1 }}<|end|>\n<|user|>\n 質問\n<|end|>\n<|assistant|>\n答え<|end|>\n<|endoftext|>"; got != want || err != nil {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	got, err = tok.ApplyChatTemplate(turns[1:2], true)
	if want := "<|user|>\n 質問\n<|end|>\n<|assistant|>\n"; got != want || err != nil {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	_, err = tok.ApplyChatTemplate([]Message{{"tool", "x"}}, false)
	if want := "tokenizer_config.json: chat_template: line 7: unknown role tool"; err == nil || err.Error() != want {
		t.Errorf("raise_exception gave %v, want %s", err, want)
	}
}

func TestChatTemplateFile(t *testing.T) {
	tokenizer := readObject(t, "testdata", "fallback", "tokenizer.json")
	config := readObject(t, "testdata", "fallback", "tokenizer_config.json")
	dir := writeModel(t, tokenizer, config)
	const file = "{%- for m in messages -%}\n    {% if m.role == 'user' %}\n[{{ m.content | trim }}]\n    {% endif %}\n{% endfor %}\n{{ bos_token }}\n"
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tok.ApplyChatTemplate([]Message{{"user", " a "}, {"assistant", "b"}}, false)
	if want := "[a]\n<s>"; got != want || err != nil { // transformers answers the same
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	delete(config, "chat_template")
	if tok, err = Load(writeModel(t, tokenizer, config)); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.ApplyChatTemplate(nil, true); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("without a template: %v", err)
	}
}

// A template comes from outside: it must reach no file.
func TestChatTemplateReadsNoFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := readObject(t, "testdata", "fallback", "tokenizer_config.json")
	for _, template := range []string{"{% include '" + secret + "' %}", "{% import '" + secret + "' as x %}{{ x }}", "{{ '" + secret + "' | file }}"} {
		config["chat_template"] = template
		tok, err := Load(writeModel(t, readObject(t, "testdata", "fallback", "tokenizer.json"), config))
		if err != nil {
			continue
		}
		if text, err := tok.ApplyChatTemplate(nil, true); err == nil || strings.Contains(text, "hidden") {
			t.Errorf("%s gave %q, %v", template, text, err)
		}
	}
}
