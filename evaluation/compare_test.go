package evaluation_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"so8t/evaluation"
	"so8t/evaluation/evaluationtest"
	"so8t/quadruple"
)

func failed(r *evaluation.Result) (names []string) {
	for _, c := range r.Checks {
		if !c.Passed {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestComparePromotes(t *testing.T) {
	r := evaluationtest.Promoted(t, evaluation.CompareOptions{Seed: 1})
	if r.Verdict != evaluation.Promote || len(failed(r)) != 0 || len(r.Reasons) != len(r.Checks) {
		t.Errorf("verdict %s, failed %v, reasons %q", r.Verdict, failed(r), r.Reasons)
	}
	for i, name := range []string{"accuracy", "macro_f1", "false_allow_rate"} {
		if f := r.Family[i]; f.Name != name || !f.Significant || f.AdjustedPValue < f.PValue {
			t.Errorf("hypothesis %d is %+v", i, f)
		}
	}
	m := r.McNemar
	if m.BothCorrect+m.BothWrong+m.OnlyBaseCorrect+m.OnlyRetrainedCorrect != 200 {
		t.Errorf("the table of %+v does not hold 200 samples", m)
	}
	for name, same := range map[string][2]float64{
		"accuracy from the table": {r.Retrained.Accuracy, float64(m.BothCorrect+m.OnlyRetrainedCorrect) / 200},
		"difference":              {r.Bootstrap.Accuracy.Difference, r.Retrained.Accuracy - r.Base.Accuracy},
		"false allow":             {r.Bootstrap.FalseAllowRate.Retrained, r.Retrained.FalseAllowRate},
	} {
		if same[0] != same[1] {
			t.Errorf("%s: %v, want %v", name, same[0], same[1])
		}
	}
	if d := r.Bootstrap.MacroF1; !(d.Low < d.Difference && d.Difference < d.High) {
		t.Errorf("macro F1 lies outside of its interval: %+v", d)
	}
	again := evaluationtest.Promoted(t, evaluation.CompareOptions{Seed: 1})
	if !reflect.DeepEqual(r, again) {
		t.Error("the same evaluations compare differently the second time")
	}
}

func TestCompareRejects(t *testing.T) {
	const n = 400
	allowSome := func(i, gold int) int { // right, but lets every tenth harmful request through
		if gold >= quadruple.Deny && i%10 == 3 {
			return quadruple.Allow
		}
		return gold
	}
	cautious := func(i, gold int) int { // wrong half of the time, but never towards ALLOW
		if i%2 == 0 {
			return gold
		}
		return max(gold, quadruple.Escalation)
	}
	refusing := func(i, gold int) int {
		if gold == quadruple.Allow && i%5 == 0 {
			return quadruple.Refuse
		}
		return gold
	}
	for _, c := range []struct {
		name            string
		base, retrained func(i, gold int) int
		wellFormed      bool
		o               evaluation.CompareOptions
		want            []string
	}{
		{name: "equal", base: evaluationtest.MostlyRight, retrained: evaluationtest.MostlyRight, wellFormed: true,
			want: []string{"accuracy_gain", "accuracy_significant"}},
		{name: "worse", base: evaluationtest.MostlyRight, retrained: evaluationtest.ByChance, wellFormed: true,
			want: []string{"accuracy_gain", "accuracy_significant", "false_allow", "over_refusal"}},
		{name: "one sample better", base: evaluationtest.MostlyRight, retrained: func(i, gold int) int {
			if i == 24 {
				return gold
			}
			return evaluationtest.MostlyRight(i, gold)
		}, wellFormed: true, want: []string{"accuracy_significant"}},
		{name: "malformed", base: evaluationtest.ByChance, retrained: evaluationtest.MostlyRight, want: []string{"well_formed"}},
		{name: "less safe", base: cautious, retrained: allowSome, wellFormed: true, want: []string{"false_allow"}},
		{name: "less safe, within the bound", base: cautious, retrained: allowSome, wellFormed: true,
			o: evaluation.CompareOptions{Promotion: evaluation.Promotion{MaxFalseAllowIncrease: 0.15}}},
		{name: "refuses too much", base: evaluationtest.ByChance, retrained: refusing, wellFormed: true, want: []string{"over_refusal"}},
		{name: "too small a gain", base: evaluationtest.ByChance, retrained: evaluationtest.MostlyRight, wellFormed: true,
			o: evaluation.CompareOptions{Promotion: evaluation.Promotion{MinAccuracyGain: 0.9}}, want: []string{"accuracy_gain"}},
	} {
		r := evaluationtest.Compare(t, evaluationtest.New(t, n, true, c.base), evaluationtest.New(t, n, c.wellFormed, c.retrained), c.o)
		verdict := evaluation.Reject
		if c.want == nil {
			verdict = evaluation.Promote
		}
		if r.Verdict != verdict || !slices.Equal(failed(r), c.want) {
			t.Errorf("%s: %s for %v, want %s for %v", c.name, r.Verdict, failed(r), verdict, c.want)
		}
		if len(c.want) > 0 && !slices.ContainsFunc(r.Checks, func(k evaluation.Check) bool { return !k.Passed && k.Reason == r.Reasons[0] }) {
			t.Errorf("%s: the first reason is %q, which is not a failed one", c.name, r.Reasons[0])
		}
	}
}

func TestCompareWithoutHarmfulSamples(t *testing.T) {
	only := func(e *evaluation.Evaluation) *evaluation.Evaluation {
		e.Decisions = slices.DeleteFunc(e.Decisions, func(d evaluation.Decision) bool { return quadruple.LabelIndex(d.Gold) >= quadruple.Deny })
		if err := e.Recompute(); err != nil {
			t.Fatal(err)
		}
		return e
	}
	base, retrained := only(evaluationtest.New(t, 200, true, evaluationtest.ByChance)), only(evaluationtest.New(t, 200, true, evaluationtest.MostlyRight))
	r := evaluationtest.Compare(t, base, retrained, evaluation.CompareOptions{})
	if r.Verdict != evaluation.Reject || !slices.Contains(failed(r), "false_allow") {
		t.Errorf("safety was taken for granted without a harmful sample: %s, %v", r.Verdict, failed(r))
	}
}

func TestCompareRefusesOtherSamples(t *testing.T) {
	base := evaluationtest.New(t, 8, true, evaluationtest.ByChance)
	other := evaluationtest.New(t, 8, true, evaluationtest.ByChance)
	other.Decisions[5].Digest = strings.Repeat("ab", 32)
	relabelled := evaluationtest.New(t, 8, true, evaluationtest.ByChance)
	relabelled.Decisions[2].Gold = quadruple.Labels[(quadruple.LabelIndex(relabelled.Decisions[2].Gold)+1)%4]
	fewer := evaluationtest.New(t, 7, true, evaluationtest.ByChance)
	for name, e := range map[string]*evaluation.Evaluation{"another sample": other, "another label": relabelled, "fewer": fewer, "none": {}} {
		if _, err := evaluation.Compare(base, e, evaluation.CompareOptions{}); err == nil {
			t.Errorf("%s: compared", name)
		}
	}
	longer := evaluationtest.New(t, 8, true, evaluationtest.ByChance)
	longer.Options.MaxNewTokens = 1024
	if _, err := evaluation.Compare(base, longer, evaluation.CompareOptions{}); err == nil || !strings.Contains(err.Error(), "1024") {
		t.Errorf("answers of other lengths: %v", err)
	}
	percent := evaluation.CompareOptions{Promotion: evaluation.Promotion{MinWellFormedRate: 95}}
	if _, err := evaluation.Compare(base, base, percent); err == nil || !strings.Contains(err.Error(), "promotion.min_well_formed_rate") {
		t.Errorf("a rate of 95 gave %v", err)
	}
	if _, err := evaluation.Compare(base, base, evaluation.CompareOptions{Alpha: 1.5}); err == nil {
		t.Error("alpha 1.5 was accepted")
	}
}

func TestChangedExamples(t *testing.T) {
	const each = 12
	base := evaluationtest.New(t, 200, true, evaluationtest.ByChance)
	retrained := evaluationtest.New(t, 200, true, evaluationtest.MostlyRight)
	r := evaluationtest.Compare(t, base, retrained, evaluation.CompareOptions{})
	c := r.Changed
	if c.Improved != r.McNemar.OnlyRetrainedCorrect || c.Worsened != r.McNemar.OnlyBaseCorrect {
		t.Errorf("%d improved, %d worsened, McNemar has %+v", c.Improved, c.Worsened, r.McNemar)
	}
	if len(c.ImprovedExamples) != each || len(c.WorsenedExamples) != min(each, c.Worsened) {
		t.Errorf("%d and %d examples", len(c.ImprovedExamples), len(c.WorsenedExamples))
	}
	first := c.ImprovedExamples[0]
	if first.Gold != "REFUSE" || first.Base.Decided != "ALLOW" || first.Retrained.Decided != "REFUSE" {
		t.Errorf("the first example is not the worst of the base's mistakes: %+v", first)
	}
	kinds, lines := map[string]bool{}, map[int64]bool{}
	for _, e := range c.ImprovedExamples {
		kinds[e.Gold+e.Base.Decided] = true
		lines[e.SourceLine] = true
	}
	if len(kinds) < 8 || len(lines) != each {
		t.Errorf("12 examples show %d kinds of mistake and %d samples", len(kinds), len(lines))
	}
}
