package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const plainTurns = "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}" +
	"{% if add_generation_prompt %}<|assistant|>\n{% endif %}"

// loadTemplate loads the small tokenizer with another chat template, eos_token and generation_config.json.
func loadTemplate(t *testing.T, template, eos, generation string) *Tokenizer {
	t.Helper()
	config := readObject(t, "testdata", "fallback", "tokenizer_config.json")
	config["chat_template"], config["eos_token"] = template, nil
	if eos != "" {
		config["eos_token"] = eos
	}
	dir := writeModel(t, readObject(t, "testdata", "fallback", "tokenizer.json"), config)
	if generation != "" {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(generation), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestCase9EndTokens(t *testing.T) {
	const forbid = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
	const demand = "{% if messages[0].role != 'system' %}{{ raise_exception('a system turn') }}{% endif %}"
	for _, c := range []struct {
		name, template, eos, generation string
		ends                            string // contents, or the error
		controls                        string
	}{
		{"the turn's end", plainTurns, "", "", "<|end|>", "<|assistant|> <|end|> <|system|> <|user|>"},
		{"with eos_token", plainTurns, "<|endoftext|>", "", "<|endoftext|> <|end|>", "<|assistant|> <|endoftext|> <|end|> <|system|> <|user|>"},
		{"eos_token is no special token", plainTurns, "</s>", "", "</s> <|end|>", "</s> <|assistant|> <|end|> <|system|> <|user|>"},
		{"generation_config", plainTurns, "", `{"eos_token_id": [0, 1], "top_k": 5}`,
			"<s> <unk> <|end|>", "<s> <unk> <|assistant|> <|end|> <|system|> <|user|>"},
		{"one id", plainTurns, "", `{"eos_token_id": 1}`, "<s> <|end|>", "<s> <|assistant|> <|end|> <|system|> <|user|>"},
		{"an id beyond", plainTurns, "", `{"eos_token_id": 99999}`, "eos_token_id: 99999 is not in tokenizer.json", ""},
		{"no system turn", forbid + plainTurns, "", "", "<|end|>", "<|assistant|> <|end|> <|user|>"},
		{"a system turn demanded", demand + plainTurns, "", "", "<|end|>", "<|assistant|> <|end|> <|system|> <|user|>"},
		{"never", "{{ raise_exception('never') }}", "", "", "line 1: never", ""},
		{"no special token", "{% for m in messages %}{{ m.content }}\n{% endfor %}", "", "", "", ""},
		{"nothing of the answer", "{{ messages[0].content }}", "", "", "", ""},
	} {
		tok := loadTemplate(t, c.template, c.eos, c.generation)
		ids, err := tok.EndTokens()
		controls, err2 := tok.ControlTokens()
		if err != nil {
			if c.ends == "" || !strings.Contains(err.Error(), c.ends) || err2 == nil {
				t.Errorf("%s: %v, %v, want %s", c.name, err, err2, c.ends)
			}
			continue
		}
		contents := []string{}
		for _, id := range ids {
			content, _ := tok.Token(id)
			contents = append(contents, content)
		}
		if !slices.IsSorted(ids) {
			t.Errorf("%s: %v is not sorted", c.name, ids)
		}
		slices.Sort(contents)
		if strings.Join(contents, " ") != c.ends || strings.Join(controls, " ") != c.controls || err2 != nil {
			t.Errorf("%s: %q, %q, %v, want %q, %q", c.name, contents, controls, err2, c.ends, c.controls)
		}
	}
}

// The demo ends an answer where its generation_config.json does.
func TestCase9EndTokensOfDemo(t *testing.T) {
	tok, err := Load("../demo/base")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		EOS []int32 `json:"eos_token_id"`
	}
	data, err := os.ReadFile("../demo/base/generation_config.json")
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	slices.Sort(config.EOS)
	if ids, err2 := tok.EndTokens(); err != nil || err2 != nil || !reflect.DeepEqual(ids, config.EOS) {
		t.Errorf("%v, %v, %v, want %v", ids, err, err2, config.EOS)
	}
}

// TestCase8GenerationMarkers is public report trl#5526 and its neighbours: generation blocks, macros and strftime_now render, and a
// fault is one line.
func TestCase8GenerationMarkers(t *testing.T) {
	for template, want := range map[string]string{
		"{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}": "b",
		"{%- generation -%} x {%- endgeneration -%}":                                                                 "x",
		"{% macro turn(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}{{ turn(messages[1]) }}": "b",
	} {
		tok := loadTemplate(t, template, "", "")
		r, err := tok.RenderChat([]Message{{"user", "a"}, {"assistant", "b"}}, false)
		if err != nil || r.Text != want || !reflect.DeepEqual(r.Generated, [][2]int{{0, 1}}) || !tok.HasGenerationMarkers() {
			t.Errorf("%s: %+v, %v", template, r, err)
		}
	}
	tok := loadTemplate(t, "{{ strftime_now('%Y') }}{# {% generation %} #}", "", "")
	if text, err := tok.ApplyChatTemplate([]Message{{"user", "a"}}, false); err != nil || len(text) != 4 || tok.HasGenerationMarkers() {
		t.Errorf("%q, %v, markers %t", text, err, tok.HasGenerationMarkers())
	}
	tok = loadTemplate(t, "a\n{{ messages[5].content.x }}\n"+strings.Repeat("b\n", 100), "", "")
	_, err := tok.ApplyChatTemplate([]Message{{"user", "a"}}, false)
	if want := "tokenizer_config.json: chat_template: line 2: list object has no element 5"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
