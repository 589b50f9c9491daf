package evaluation

import (
	"math"
	"slices"
	"strings"
	"testing"

	"so8t/dataset"
	"so8t/dataset/record"
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
			d, err := newDecider(tok)
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
					s, err := d.split(place{parseAnswer(answer).context, parseAnswer(answer).tail})
					if err != nil {
						t.Fatal(err)
					}
					scored := slices.Concat(sample.InputIDs[:sample.PromptLength], s.context, s.continuations[i])
					if !slices.Equal(scored, sample.InputIDs[:min(len(scored), len(sample.InputIDs))]) {
						t.Errorf("task %q, %s: scored %v, trained on %v", task, label, scored, sample.InputIDs)
					}
					text := strings.TrimLeft(tok.Decode(s.continuations[i], false), " ")
					if closing, ok := strings.CutPrefix(text, label); !ok || closing == "" ||
						len(tok.Decode(s.continuations[i][:len(s.continuations[i])-1], false)) > len(label) {
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
	d, err := newDecider(tok)
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
		got, _ := d.read(q, engine.Generation{Tokens: ids, Finished: true}, o)
		if got.Answer != answer || !got.WellFormed || got.Generated != "DENY" {
			t.Errorf("%q was read as %+v", text, got)
		}
		if got, _ = d.read(q, engine.Generation{Tokens: ids}, o); got.WellFormed || got.Finished {
			t.Errorf("an answer that never ended counts as well-formed: %+v", got)
		}
	}
}

// Whatever the lengths, the four stand for complete lines: probabilities are those of the sums.
func TestDecide(t *testing.T) {
	var d Decision
	if err := d.decide([]float64{math.Log(0.02), math.Log(0.01), math.Log(0.05), math.Log(0.02)}); err != nil {
		t.Fatal(err)
	}
	near(t, "P(DENY)", d.Probabilities[deny], 0.5)
	near(t, "P(ESCALATION)", d.Probabilities[escalation], 0.1)
	near(t, "confidence", d.Confidence, 0.5)
	if d.Decided != "DENY" {
		t.Errorf("decided %s", d.Decided)
	}
	if err := d.decide([]float64{-5000, -5001, -6000, -7000}); err != nil || d.Decided != "ALLOW" {
		t.Errorf("scores far below what exp can hold: %s, %v", d.Decided, err)
	}
	near(t, "P(ALLOW)", d.Probabilities[allow], 1/(1+math.Exp(-1)))
	if err := d.decide([]float64{-1, -3, -1, -3}); err != nil || d.Decided != "DENY" {
		t.Errorf("of two equal labels %s was taken, %v", d.Decided, err)
	}
	if err := d.decide([]float64{math.Inf(-1), -1, math.Inf(-1), math.Inf(-1)}); err != nil || d.Confidence != 1 {
		t.Errorf("one possible label: %+v, %v", d, err)
	}
	for _, bad := range [][]float64{{-1, math.NaN(), -1, -1}, {math.Inf(1), -1, -1, -1}, {-1, -1, -1}, slices.Repeat([]float64{math.Inf(-1)}, 4)} {
		if err := d.decide(bad); err == nil {
			t.Errorf("scores %v were accepted", bad)
		}
	}
}

func TestCommonPrefix(t *testing.T) {
	for _, c := range []struct {
		of   [][]int32
		want int
	}{
		{[][]int32{{1, 2, 3}, {1, 2, 4}, {1, 2}}, 2},
		{[][]int32{{1}, {2}}, 0},
		{[][]int32{{1, 2}, {1, 2}}, 2},
		{[][]int32{{}, {1}}, 0},
	} {
		if got := commonPrefix(c.of); got != c.want {
			t.Errorf("common prefix of %v is %d", c.of, got)
		}
	}
}
