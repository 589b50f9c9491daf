package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"so8t/tokenizer"
)

// unlabelled are samples of a plain fine-tune: no label, no quadruple form.
func unlabelled(t testing.TB, tok *tokenizer.Tokenizer) memorySamples {
	var out memorySamples
	for i := range 12 {
		s := render(t, tok, i+1, strings.Repeat("機密情報の公開を審査する。", 1+(i*5)%7)+fmt.Sprint("依頼", i), fmt.Sprint("答えます。", i), "")
		s.SourceFile, s.NearDuplicate = i%2, i == 4
		out = append(out, s)
	}
	return out
}

// learner answers each request, and loses a number of nats a token that depends on the sample alone.
type learner struct {
	*fakeModel
	loss float64
}

func newLearner(tok *tokenizer.Tokenizer, loss float64) *learner {
	return &learner{&fakeModel{tok: tok, answer: func(string) string { return "承知しました。<|end|>" }}, loss}
}

func (l *learner) Score(context.Context, [][]int32, [][]int32) ([][]float64, error) {
	return nil, errors.New("there are no labels to score")
}

func (l *learner) Loss(ctx context.Context, inputIDs, labels [][]int32) (float64, int, error) {
	_, n, err := l.fakeModel.Loss(ctx, inputIDs, labels)
	return (l.loss + float64(len(inputIDs[0])%7)/10) * float64(n), n, err
}

func TestPlainRun(t *testing.T) {
	tok := loadTokenizer(t)
	part := unlabelled(t, tok)
	part = append(part, part[0]) // nothing of it is labelled
	part[12].SourceLine, part[12].Labels = 99, slices.Repeat([]int32{-100}, len(part[0].Labels))
	model := newLearner(tok, 1)
	e, err := Run(t.Context(), model, tok, part, Options{Plain: true, Answers: 3, BatchSize: 2}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Decisions) != 12 || len(e.Skipped) != 1 || e.Skipped[0].SourceLine != 99 {
		t.Fatalf("%d decisions, skipped %+v", len(e.Decisions), e.Skipped)
	}
	var answered, smallest []string
	for i, d := range e.Decisions {
		smallest = append(smallest, d.Digest)
		if d.SourceFile != i%2 || d.NearDuplicate != (i == 4) || d.LabelledTokens == 0 || d.Prompt == "" {
			t.Errorf("decision %d: %+v", i, d)
		}
		if !d.hasAnswer() {
			continue
		}
		answered = append(answered, d.Digest)
		if d.Answer != "承知しました。" || d.Reference != fmt.Sprint("答えます。", i) {
			t.Errorf("decision %d: answer %q, reference %q", i, d.Answer, d.Reference)
		}
	}
	slices.Sort(smallest)
	if slices.Sort(answered); !slices.Equal(answered, smallest[:3]) {
		t.Errorf("answered %v, not the smallest digests of %v", answered, smallest)
	}
	if e.Answered != 3 || e.SampleLoss == nil || e.TokenLoss < 1 || e.SampleLoss.P5 < 1 || e.Accuracy != 0 || len(e.PerClass) != 0 {
		t.Errorf("figures: %+v", e.Figures)
	}
	near(t, "tokens", float64(e.LabelledTokens), float64(e.Totals.LabelledTokens))
}

// The file of a plain run holds nothing of what needs a label, and reads back whole.
func TestPlainEvaluationOnDisk(t *testing.T) {
	tok := loadTokenizer(t)
	e, err := Run(t.Context(), newLearner(tok, 1), tok, unlabelled(t, tok), Options{Model: "base", Plain: true}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "base.json")
	if err := e.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Labels = e.Labels
	if !reflect.DeepEqual(again, e) {
		t.Errorf("read back\n%+v, was\n%+v", again, e)
	}
	text, err := json.Marshal(e.document())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"accuracy", "gold", "probabilities", "confusion", "per_class", "labels", "leaked_thinking"} {
		if strings.Contains(string(text), fmt.Sprintf("%q:", key)) {
			t.Errorf("a plain evaluation has the key %s", key)
		}
	}
}

func TestPlainRunGoesOn(t *testing.T) {
	tok := loadTokenizer(t)
	part := unlabelled(t, tok)
	o := Options{Plain: true, Answers: 5, BatchSize: 1}
	var all []Batch
	whole, err := Run(t.Context(), newLearner(tok, 1), tok, part, o, Session{Save: saveThen(&all, -1)})
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= len(all); stop++ {
		var saved []Batch
		if _, err := Run(t.Context(), newLearner(tok, 1), tok, part, o, Session{Save: saveThen(&saved, stop)}); !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		e, err := Run(t.Context(), newLearner(tok, 1), tok, part, o, Session{Earlier: reread(t, saved)})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := withoutTimes(e), withoutTimes(whole); !reflect.DeepEqual(got, want) {
			t.Errorf("stopped after %d batches:\n%+v, undisturbed\n%+v", stop, got, want)
		}
	}
}

func TestPlainCompare(t *testing.T) {
	tok := loadTokenizer(t)
	part := unlabelled(t, tok)
	run := func(loss float64) *Evaluation {
		e, err := Run(t.Context(), newLearner(tok, loss), tok, part, Options{Plain: true, Answers: 4}, Session{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, c := range []struct {
		name      string
		retrained float64
		least     float64
		verdict   string
		failed    []string
	}{
		{"lower", 0.5, 0, Promote, nil},
		{"lower by enough", 0.5, 0.5 - 1e-9, Promote, nil},
		{"lower by too little", 0.5, 0.6, Reject, []string{"loss_reduction"}},
		{"equal", 1, 0, Reject, []string{"loss_reduction", "loss_significant"}},
		{"higher beyond chance", 1.5, 0, Reject, []string{"loss_reduction", "loss_significant"}},
	} {
		r, err := Compare(run(1), run(c.retrained), CompareOptions{Resamples: 200, NearDuplicates: true, Promotion: Promotion{MinLossReduction: c.least}})
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, check := range r.Checks {
			if !check.Passed {
				failed = append(failed, check.Name)
			}
		}
		if r.Verdict != c.verdict || !slices.Equal(failed, c.failed) || len(r.Answers) != 4 || r.Apart.NearDuplicates != 1 {
			t.Errorf("%s: %s, failed %v, %d answers, apart %+v; %v", c.name, r.Verdict, failed, len(r.Answers), r.Apart, r.Reasons)
		}
		near(t, c.name, r.Loss.Difference, c.retrained-1)
		near(t, "apart", r.Apart.Retrained.TokenLoss-r.Apart.Base.TokenLoss, c.retrained-1)
	}
}

// One long sample may lower the token loss while most samples get worse: that is not beyond chance.
func TestPlainGateNeedsMostSamples(t *testing.T) {
	part := func(change func(i int) float64) *Evaluation {
		e := &Evaluation{Options: Options{Plain: true}}
		for i := range 30 {
			tokens := 10
			if i == 0 {
				tokens = 10000
			}
			e.Decisions = append(e.Decisions, Decision{Digest: fmt.Sprint(i), LossSum: (2 + change(i)) * float64(tokens), LabelledTokens: tokens})
		}
		if err := e.Recompute(); err != nil {
			t.Fatal(err)
		}
		return e
	}
	r, err := Compare(part(func(int) float64 { return 0 }), part(func(i int) float64 {
		if i == 0 {
			return -1
		}
		return 0.1 + float64(i)/1000
	}), CompareOptions{Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	if r.Loss.Difference >= 0 || r.Verdict != Reject || r.Checks[1].Passed || float64(r.Loss.PValue) > 0.05 {
		t.Errorf("%s by %+v: %v", r.Verdict, r.Loss, r.Reasons)
	}
}

func TestPlainOptions(t *testing.T) {
	tok := loadTokenizer(t)
	if _, err := (Options{Answers: 3}).withDefaults(tok); err == nil {
		t.Error("Answers is taken where every sample is answered")
	}
	if o, err := (Options{Plain: true}).withDefaults(tok); err != nil || o.Answers != plainAnswers {
		t.Errorf("%+v, %v", o, err)
	}
	text, _ := json.Marshal(Options{})
	if want := `{"model":"","max_new_tokens":0,"fallback_tokens":0,"batch_size":0,"max_samples":0,"eos":null}`; string(text) != want {
		t.Errorf("options of a run with labels are %s: an earlier version's must stay equal", text)
	}
}
