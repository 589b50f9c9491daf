package evaluation

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/quadruple"
	"so8t/tokenizer"
)

// twelve samples, three of each label; requests of many lengths.
func testPart(t testing.TB, tok *tokenizer.Tokenizer) memorySamples {
	var out memorySamples
	for i := range 12 {
		label := quadruple.Labels[i%4]
		request := strings.Repeat("機密情報の公開を審査する。", 1+(i*5)%7) + fmt.Sprint("依頼", i)
		out = append(out, render(t, tok, i+1, request, inForm("課題"+label, label, "答えます。"), label))
	}
	return out
}

// believer decides rightly on all but the requests whose number is listed as wrong.
func believer(t testing.TB, tok *tokenizer.Tokenizer, wrong ...int) *fakeModel {
	number := func(prompt string) (n int) {
		_, after, _ := strings.Cut(prompt, "依頼")
		fmt.Sscan(after, &n)
		return n
	}
	label := func(prompt string) string {
		n := number(prompt)
		if slices.Contains(wrong, n) {
			return quadruple.Labels[(n+1)%4]
		}
		return quadruple.Labels[n%4]
	}
	return &fakeModel{
		tok:    tok,
		answer: func(p string) string { return inForm("課題", label(p), "答えます。") },
		belief: label,
	}
}

func TestRun(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	model := believer(t, tok, 2, 5) // 2 is DENY and decided REFUSE, 5 is ESCALATION and decided DENY
	var progress [][2]int
	e, err := Run(t.Context(), model, tok, part, Options{Model: "base", BatchSize: 2},
		Session{Progress: func(done, total int) { progress = append(progress, [2]int{done, total}) }})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", e.Accuracy, 10.0/12)
	near(t, "generated accuracy", e.GeneratedAccuracy, 10.0/12)
	near(t, "agreement", e.AgreementRate, 1)
	near(t, "well-formed", e.WellFormedRate, 1)
	near(t, "own think-task", e.OwnThinkTaskRate, 1)
	near(t, "token loss", e.TokenLoss, 0.5)
	if want := [][2]int{{0, 12}, {4, 12}, {8, 12}, {12, 12}}; !reflect.DeepEqual(progress, want) {
		t.Errorf("progress %v, want %v", progress, want)
	}
	for i, d := range e.Decisions {
		if d.SourceLine != int64(i+1) || d.Gold != quadruple.Labels[i%4] || d.Prompt == "" || !strings.HasPrefix(d.Answer, "<think-task>") {
			t.Errorf("decision %d is %+v", i, d)
		}
		near(t, "confidence", d.Confidence, 0.7)
		near(t, "sum of probabilities", d.Probabilities[0]+d.Probabilities[1]+d.Probabilities[2]+d.Probabilities[3], 1)
	}
	if d := e.Decisions[2]; d.Gold != "DENY" || d.Decided != "REFUSE" || d.Generated != "REFUSE" {
		t.Errorf("decision 2 is %+v", d)
	}
}

func TestRunDoesNotDependOnBatches(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	var first *Evaluation
	for _, size := range []int{1, 2, 5, 100} {
		e, err := Run(t.Context(), believer(t, tok, 3), tok, part, Options{BatchSize: size}, Session{})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = e
		}
		if !reflect.DeepEqual(e.Decisions, first.Decisions) || e.TokenLoss != first.TokenLoss || e.SamplesDigest != first.SamplesDigest {
			t.Errorf("batches of %d decide otherwise than batches of 1", size)
		}
	}
}

func TestRunFallsBackOnMalformedAnswers(t *testing.T) {
	tok := loadTokenizer(t)
	model := believer(t, tok)
	model.answer = func(string) string { return "そのまま答えます。そのまま答えます。" }
	e, err := Run(t.Context(), model, tok, testPart(t, tok), Options{FallbackTokens: 4}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", e.Accuracy, 1) // scored all the same
	near(t, "well-formed", e.WellFormedRate, 0)
	near(t, "own think-task", e.OwnThinkTaskRate, 0)
	near(t, "generated accuracy", e.GeneratedAccuracy, 0)
	for _, ids := range model.asked {
		text := tok.Decode(ids, true)
		at := strings.Index(text, "<think-task>")
		if at < 0 || !strings.HasSuffix(text, "</think-task><think-safety>decision: ") || len(tok.Encode(text[at:])) > 60 {
			t.Errorf("scored after %q", text)
		}
	}
}

// Every third answer closes the decision with its tag instead of a line end: other tokens, scored apart.
func TestRunScoresEachLayout(t *testing.T) {
	tok := loadTokenizer(t)
	model := believer(t, tok, 4)
	plain := model.answer
	model.answer = func(prompt string) string {
		if model.belief(prompt) == "DENY" {
			return strings.Replace(plain(prompt), "DENY\n安全です。", "DENY", 1)
		}
		return plain(prompt)
	}
	e, err := Run(t.Context(), model, tok, testPart(t, tok), Options{}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", e.Accuracy, 11.0/12)
	near(t, "agreement", e.AgreementRate, 1)
	near(t, "well-formed", e.WellFormedRate, 1)
	if model.scored != 2 {
		t.Errorf("two layouts were scored in %d calls", model.scored)
	}
}

func TestRunMarksAnswersCutOff(t *testing.T) {
	tok := loadTokenizer(t)
	e, err := Run(t.Context(), believer(t, tok), tok, testPart(t, tok), Options{MaxNewTokens: 20}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	if e.WellFormedRate != 0 || e.Decisions[0].Finished || e.Decisions[0].GeneratedTokens != 20 {
		t.Errorf("answers of at most 20 tokens: well-formed %v, %+v", e.WellFormedRate, e.Decisions[0])
	}
}

func TestRunTakesTheSameSubset(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	digests := func(p memorySamples) (out []string) {
		e, err := Run(t.Context(), believer(t, tok), tok, p, Options{MaxSamples: 5}, Session{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range e.Decisions {
			out = append(out, d.Digest)
		}
		return out
	}
	a := digests(part)
	turned := slices.Clone(part)
	slices.Reverse(turned)
	b := digests(turned)
	slices.Reverse(b)
	if len(a) != 5 || !slices.Equal(a, b) {
		t.Errorf("the subset depends on the order: %v and %v", a, b)
	}
}

func TestRunListsWhatItCannotAsk(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	part[3].Label = "MAYBE"
	part[7].InputIDs = part[7].InputIDs[:3] // cut before the assistant's header
	part[7].Labels, part[7].PromptLength = part[7].Labels[:3], 3
	e, err := Run(t.Context(), believer(t, tok), tok, part, Options{}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Decisions) != 10 || len(e.Skipped) != 2 || e.Skipped[0].SourceLine != 4 || e.Skipped[1].SourceLine != 8 {
		t.Errorf("%d decisions, skipped %+v", len(e.Decisions), e.Skipped)
	}
	if _, err := Run(t.Context(), believer(t, tok), tok, part[3:4], Options{}, Session{}); err == nil {
		t.Error("a test part of which nothing can be asked was evaluated")
	}
}

func TestRunEnds(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	ctx, cancel := context.WithCancel(t.Context())
	model := believer(t, tok)
	model.cancel = cancel
	if _, err := Run(ctx, model, tok, part, Options{BatchSize: 1}, Session{}); !errors.Is(err, context.Canceled) || model.batches != 1 {
		t.Errorf("a cancelled run went on for %d batches and answered %v", model.batches, err)
	}
	broken := believer(t, tok)
	broken.generate = errors.New("out of memory")
	if _, err := Run(t.Context(), broken, tok, part, Options{Model: "base"}, Session{}); err == nil ||
		!strings.Contains(err.Error(), "evaluate base") || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a broken model gave %v", err)
	}
	if _, err := Run(t.Context(), model, tok, part, Options{BatchSize: -1}, Session{}); err == nil {
		t.Error("a negative batch size was accepted")
	}
}

func TestSaveAndLoad(t *testing.T) {
	tok := loadTokenizer(t)
	e, err := Run(t.Context(), believer(t, tok, 1), tok, testPart(t, tok), Options{Model: "retrained"}, Session{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "evaluation", "retrained.json")
	if err := e.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	back.StartedAt, back.FinishedAt = e.StartedAt, e.FinishedAt // JSON loses the location pointer
	if !reflect.DeepEqual(e, back) {
		t.Errorf("saved %+v\nloaded %+v", e, back)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	back.Decisions[0].Gold = "REFUSE"
	if err := back.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Error("an evaluation whose gold labels were changed was loaded")
	}
	if e.FinishedAt.Sub(e.StartedAt) < 0 || time.Since(e.StartedAt) > time.Minute {
		t.Errorf("times %v to %v", e.StartedAt, e.FinishedAt)
	}
}
