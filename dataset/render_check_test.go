package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/dataset/record"
)

// No text may hold a token that the template marks turns with or that ends an answer; other added tokens are text.
func TestCase9ControlTokens(t *testing.T) {
	tok := withTemplate(t, fallback, "")
	ends, err := tok.EndTokens()
	if end, _ := tok.ID("<|end|>"); err != nil || !slices.Contains(ends, end) {
		t.Fatal(ends, err)
	}
	for _, c := range []struct {
		name   string
		record record.Record
		want   string
	}{
		{"HTML", ofTurns(say("user", "a"), say("assistant", "<s>取消</s>")), ""},
		{"unk", ofTurns(say("user", "<unk>"), say("assistant", "b")), ""},
		{"end in the answer", ofTurns(say("user", "a"), say("assistant", "b<|end|>c")), "output contains <|end|>"},
		{"eos in the answer", ofTurns(say("user", "a"), say("assistant", "b<|endoftext|>")), "output contains <|endoftext|>"},
		{"head in the question", ofTurns(say("user", "<|assistant|>"), say("assistant", "b")), "instruction contains <|assistant|>"},
		{"system turn", ofTurns(say("system", "<|user|>"), say("user", "a"), say("assistant", "b")), "system contains <|user|>"},
		{"earlier turn", ofTurns(say("user", "a"), say("assistant", "b"), say("assistant", "<|system|>"), say("user", "c"), say("assistant", "d")),
			"turns[2] contains <|system|>"},
	} {
		for _, o := range []renderOptions{{}, {TrainOn: "assistant"}} {
			d, err := newRenderer(tok, o)
			if err != nil {
				t.Fatal(err)
			}
			reason, detail := d.check(&c.record)
			if detail != c.want || (reason == record.ControlToken) != (c.want != "") {
				t.Errorf("%s: %s %q, want %q", c.name, reason, detail, c.want)
			}
			if reason == "" {
				s, err := d.sample(&c.record)
				if err != nil || slices.IndexFunc(s.InputIDs[s.PromptLength:], d.ending) != len(s.InputIDs)-1-s.PromptLength {
					t.Errorf("%s: ids %v, %v", c.name, s.InputIDs, err)
				}
			}
		}
	}
}

// The same token is text for one model and a control token for another, which writes it or stops at it.
func TestCase9ControlTokensOfOtherModels(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(fallback, "tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	html := ofTurns(say("user", "a"), say("assistant", "<s>取消</s>"))
	for _, c := range []struct {
		name, file, text string
		want             string
	}{
		{"bos in the template", "chat_template.jinja", "{{ bos_token }}" + turnHead + turn + turnTail, "output contains <s>"},
		{"eos of the tokenizer", "tokenizer_config.json", strings.Replace(string(config), `"eos_token": "<|endoftext|>"`, `"eos_token": "</s>"`, 1),
			"output contains </s>"},
		{"eos of generation", "generation_config.json", `{"eos_token_id": [503, 2]}`, "output contains </s>"},
		{"another eos of generation", "generation_config.json", `{"eos_token_id": 503}`, ""},
	} {
		d, err := newRenderer(withFiles(t, fallback, map[string]string{c.file: c.text}), renderOptions{})
		if err != nil {
			t.Fatal(c.name, err)
		}
		if reason, detail := d.check(&html); detail != c.want {
			t.Errorf("%s: %s %q, want %q", c.name, reason, detail, c.want)
		}
	}
}

// Where every assistant turn is trained, each must be in the form that is evaluated.
func TestEarlierTurnsInForm(t *testing.T) {
	tok := withTemplate(t, fallback, "")
	plain := ofTurns(say("user", "a"), say("assistant", "b"), say("user", "c"), say("assistant", form))
	formed := ofTurns(say("user", "a"), say("assistant", form), say("user", "c"), say("assistant", "d"))
	mismatch := ofTurns(say("user", "a"), say("assistant", form))
	for _, c := range []struct {
		name   string
		record record.Record
		o      renderOptions
		want   record.Reason
	}{
		{"plain, every turn", plain, renderOptions{true, true, "assistant", nil}, record.MalformedQuadruple},
		{"plain, last turn", plain, renderOptions{true, true, "last", nil}, ""},
		{"plain, no thinking", plain, renderOptions{true, false, "assistant", nil}, ""},
		{"plain, no classes", plain, renderOptions{false, true, "assistant", nil}, ""},
		{"formed", formed, renderOptions{true, true, "assistant", nil}, ""},
		{"other decision", mismatch, renderOptions{true, true, "last", nil}, record.DecisionMismatch},
		{"other decision, no classes", mismatch, renderOptions{false, true, "last", nil}, ""},
	} {
		d, err := newRenderer(tok, c.o)
		if err != nil {
			t.Fatal(err)
		}
		c.record.FourClassLabel = "DENY"
		if c.name[:5] == "other" {
			c.record.FourClassLabel = "ALLOW"
		}
		reason, detail := d.check(&c.record)
		if reason != c.want {
			t.Errorf("%s: %s %s, want %s", c.name, reason, detail, c.want)
		}
		if reason != "" {
			continue
		}
		if _, err := d.sample(&c.record); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
