package evaluation

import (
	"slices"
	"strings"
	"testing"

	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/decision"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// The tokens that are scored must be those that training sees: for each label, prompt + context +
// continuation begins the tokens of the whole conversation.
func TestScoredTokensAreThoseOfTraining(t *testing.T) {
	for name, dir := range map[string]string{"testdata": "../tokenizer/testdata/fallback", "demo": "../demo/base"} {
		t.Run(name, func(t *testing.T) {
			tok, err := tokenizer.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			d, err := decision.New(tok)
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range []string{"課題", "", "機密情報 the quick", "x ", "行\n"} {
				for i, label := range quadruple.Labels {
					answer := inForm(task, label, "答えます。")
					if task == "" { // as the dataset wraps a plain output: no line behind the decision
						answer = dataset.Assistant(record.Record{Instruction: "i", Output: "答えます。", FourClassLabel: label})
					}
					sample := render(t, tok, 1, "機密情報の公開", answer, label)
					at, _ := decision.PlaceOf(answer)
					s, err := d.Split(at)
					if err != nil {
						t.Fatal(err)
					}
					scored := slices.Concat(sample.InputIDs[:sample.PromptLength], s.Context, s.Continuations[i])
					if !slices.Equal(scored, sample.InputIDs[:min(len(scored), len(sample.InputIDs))]) {
						t.Errorf("task %q, %s: scored %v, trained on %v", task, label, scored, sample.InputIDs)
					}
					text := strings.TrimLeft(tok.Decode(s.Continuations[i], false), " ")
					if closing, ok := strings.CutPrefix(text, label); !ok || closing == "" ||
						len(tok.Decode(s.Continuations[i][:len(s.Continuations[i])-1], false)) > len(label) {
						t.Errorf("the continuation of %s is %q", label, text)
					}
				}
			}
		})
	}
}

// A model may hand its ending token over or not, and text behind it is none of the answer.
func TestReadEndsAtTheEndingToken(t *testing.T) {
	tok := loadTokenizer(t)
	r, err := newReader(tok, Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := Options{}.withDefaults(tok)
	if err != nil {
		t.Fatal(err)
	}
	answer := inForm("課題", "DENY", "答えます。")
	q := question{sample: render(t, tok, 1, "機密情報", answer, "DENY")}
	q.prompt = q.sample.InputIDs[:3]
	for _, text := range []string{answer, answer + "<|end|>", answer + "<|endoftext|>続き"} {
		ids := tok.Encode("<|assistant|>" + text)[1:]
		got, _ := r.read(q, engine.Generation{Tokens: ids, Finished: true}, o)
		if got.Answer != answer || !got.WellFormed || got.Generated != "DENY" {
			t.Errorf("%q was read as %+v", text, got)
		}
		if got, _ = r.read(q, engine.Generation{Tokens: ids}, o); got.WellFormed || got.Finished {
			t.Errorf("an answer that never ended counts as well-formed: %+v", got)
		}
	}
}
