package dataset

import (
	"slices"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/tokenizer"
)

const form = "<think-task>t</think-task><think-safety>decision: DENY\nwhy</think-safety><think-policy>p</think-policy><final>f</final>"

func TestAssistant(t *testing.T) {
	for _, c := range []struct {
		name string
		r    record.Record
		want string
	}{
		{"as it is", record.Record{Output: form, FourClassLabel: "DENY"}, form},
		{"decision added", record.Record{Output: strings.Replace(form, "decision: DENY\n", "", 1), FourClassLabel: "DENY"}, form},
		{"wrapped", record.Record{Output: "はい。", FourClassLabel: "ALLOW"},
			"<think-task></think-task><think-safety>decision: ALLOW</think-safety><think-policy></think-policy><final>はい。</final>"},
		{"wrapped with labels", record.Record{Output: "x", FourClassLabel: "ESCALATION", DomainLabel: "law", SafetyLabel: "care"},
			"<think-task>domain: law</think-task><think-safety>decision: ESCALATION\nsafety: care</think-safety><think-policy></think-policy><final>x</final>"},
	} {
		if got := Assistant(c.r); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestPrompt(t *testing.T) {
	got := Prompt(record.Record{System: "s", Instruction: "i", Input: "x"})
	if want := []tokenizer.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "i\n\nx"}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got = Prompt(record.Record{Instruction: "i"}); !slices.Equal(got, []tokenizer.Message{{Role: "user", Content: "i"}}) {
		t.Errorf("%v", got)
	}
}

// The sample is what generation will see (the prompt's tokens), then what Hugging Face's encoding of the whole
// conversation has there, up to the first token that ends the turn.
func TestSample(t *testing.T) {
	tok := smallTokenizer(t)
	end, _ := tok.ID("<|end|>")
	for _, r := range []record.Record{
		{Instruction: "機密情報", Output: "答え", FourClassLabel: "ALLOW"},
		{System: "規則", Instruction: " the quick ", Input: "\n漢字\n", Output: "\n 𠮷 です。 ", FourClassLabel: "DENY"},
		{Instruction: "a", Output: form, FourClassLabel: "DENY"},
		{Instruction: "a</s> b", Output: "<s> x </s>", FourClassLabel: "REFUSE"},
	} {
		for _, thinking := range []bool{true, false} {
			d, err := newRenderer(tok, renderOptions{FourClass: true, Thinking: thinking})
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.sample(&r)
			if err != nil {
				t.Fatal(err)
			}
			ids, labels := s.InputIDs, s.Labels
			answer := r.Output
			if thinking {
				answer = Assistant(r)
			}
			prompt, _ := tok.ApplyChatTemplate(Prompt(r), true)
			promptIDs := tok.Encode(prompt)
			whole, _ := tok.ApplyChatTemplate(append(Prompt(r), tokenizer.Message{Role: "assistant", Content: answer}), false)
			n := len(promptIDs)
			if s.PromptLength != n {
				t.Errorf("%+v: prompt_length %d, want %d", r, s.PromptLength, n)
			}
			if !slices.Equal(ids[:n], promptIDs) || !slices.Equal(ids, tok.Encode(whole)[:len(ids)]) {
				t.Errorf("%+v: ids %v\nprompt %v\nwhole %v", r, ids, promptIDs, tok.Encode(whole))
			}
			for i, label := range labels {
				if want := ids[i]; i >= n && label != want || i < n && label != -100 {
					t.Errorf("%+v: label %d of prompt length %d is %d", r, i, n, label)
				}
			}
			if len(labels) != len(ids) || ids[len(ids)-1] != end || slices.Index(ids[n:], end) != len(ids)-1-n {
				t.Errorf("%+v: the answer's tokens are %v", r, ids[n:])
			}
			// What follows the prompt is the answer: white space in front is eaten by <|assistant|>'s rstrip.
			// (Decoding is no inverse around other added tokens, such as <s>.)
			if got, want := tok.Decode(ids[n:], false), strings.TrimLeft(answer, " \n")+"<|end|>"; got != want && !strings.Contains(answer, "<s>") {
				t.Errorf("%+v: the answer is %q, want %q", r, got, want)
			}
			continued := append(slices.Clone(promptIDs), tok.Encode(strings.TrimLeft(answer, " \n")+"<|end|>")...)
			if !slices.Equal(ids, continued) {
				t.Errorf("%+v: encoded apart %v, at once %v", r, continued, ids)
			}
		}
	}
}
