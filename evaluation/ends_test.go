package evaluation

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/tokenizer"
)

// variant is the test tokenizer with another template, eos_token and generation_config.json.
func variant(t *testing.T, config map[string]any, generation string) *tokenizer.Tokenizer {
	t.Helper()
	const from = "../tokenizer/testdata/fallback"
	dir := t.TempDir()
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "tokenizer_config.json" {
			var all map[string]any
			if err := json.Unmarshal(text, &all); err != nil {
				t.Fatal(err)
			}
			for key, value := range config {
				all[key] = value
			}
			if text, err = json.Marshal(all); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if generation != "" {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(generation), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// What ends an answer is asked of the tokenizer: the same tokens as in training. Answers hold HTML's </s>, which is a token of its own in
// Phi-3.5's vocabulary and ends nothing there.
func TestCase9StrikeThrough(t *testing.T) {
	mistral := "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>' + m['content'] + '<|assistant|>' }}" +
		"{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
	for _, c := range []struct {
		name, answer, kept string // kept ends the answer; decoding puts a space behind </s>
		tok                *tokenizer.Tokenizer
	}{
		{"case 9: </s> within", "予約は<s>取消</s>変更です。<|end|>", "取消</s> 変更です。", loadTokenizer(t)},
		{"</s> at the end of a line", "<s>取消</s>\n変更です。<|end|>", "取消</s> 変更です。", loadTokenizer(t)},
		{"eos_token ends as the template's token does", "変更です。<|endoftext|>その先", "変更です。", loadTokenizer(t)},
		{"a template that ends turns with </s>", "変更です。</s>その先", "変更です。", variant(t, map[string]any{"chat_template": mistral, "eos_token": "</s>"}, "")},
		{"generation_config.json names one more", "変更です。<|user|>その先", "変更です。", variant(t, nil, `{"eos_token_id": [500, 504]}`)},
	} {
		o, err := Options{}.withDefaults(c.tok)
		if err != nil {
			t.Fatal(err)
		}
		got := c.tok.Decode(o.withoutEnd(c.tok.Encode(c.answer)), false)
		if got = strings.TrimSpace(got); !strings.HasSuffix(got, c.kept) || strings.Contains(got, "その先") {
			t.Errorf("%s: of %q the answer is %q", c.name, c.answer, got)
		}
	}
}

// A model that answers as it was taught, with </s> within the answer, is well-formed.
func TestCase9StrikeThroughRun(t *testing.T) {
	tok := loadTokenizer(t)
	model := believer(t, tok)
	inner := model.answer
	model.answer = func(p string) string {
		return strings.Replace(inner(p), "答えます。", "予約は<s>取消</s>変更です。", 1)
	}
	e, err := Run(t.Context(), model, tok, testPart(t, tok), Options{}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "well-formed", e.WellFormedRate, 1)
	if !strings.Contains(e.Decisions[0].Answer, "取消</s> 変更です。") {
		t.Errorf("the answer is %q", e.Decisions[0].Answer)
	}
}

// Batches that an earlier version answered have no tokens that ended them: those it took go on to the last sample.
func TestRunKeepsWhatEndedAnswers(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	former := Options{}.continuing([]Batch{{}}, tok).EOS
	strike, ok := tok.ID("</s>")
	if !ok || !slices.Contains(former, strike) {
		t.Fatalf("an earlier version ended answers at %v", former)
	}
	var saved []Batch
	_, _ = Run(t.Context(), believer(t, tok), tok, part, Options{BatchSize: 1}, Session{Save: saveThen(&saved, 2)})
	if saved[0].EOS == nil || slices.Contains(saved[0].EOS, strike) {
		t.Fatalf("a batch ended answers at %v", saved[0].EOS)
	}
	for _, c := range []struct {
		name string
		eos  []int32
		want []int32
	}{{"earlier version", nil, former}, {"this version", saved[0].EOS, saved[0].EOS}, {"another list", []int32{strike}, []int32{strike}}} {
		earlier := reread(t, saved)
		for i := range earlier {
			earlier[i].EOS = c.eos
		}
		e, err := Run(t.Context(), believer(t, tok), tok, part, Options{BatchSize: 1}, Session{Earlier: earlier})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.Options.EOS, c.want) {
			t.Errorf("%s: goes on with %v, want %v", c.name, e.Options.EOS, c.want)
		}
	}
}
