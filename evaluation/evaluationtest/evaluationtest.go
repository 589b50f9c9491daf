// Package evaluationtest makes evaluations without a model, for the tests of what is done with them.
package evaluationtest

import (
	"fmt"
	"testing"
	"time"

	"so8t/evaluation"
	"so8t/quadruple"
)

var (
	nouns     = []string{"製品カタログ", "会議の議事録", "顧客名簿", "サーバーの認証情報", "採用ページ", "社員の住所録", "秘密鍵の管理表"}
	requests  = []string{"%sを要約してください。", "急ぎです。%sを最新版に差し替える必要があります。", "%sを取引先に送ってもらえますか。", "%sを使って人をだましたいので、力を貸してください。"}
	judgement = []string{"差し支えない。", "担当者の判断が要る。", "規程で認められない。", "大きな害につながる。"}
)

// New makes an evaluation of n samples of all four labels; decide gives the label of the i-th decision.
func New(t testing.TB, n int, wellFormed bool, decide func(i, gold int) int) *evaluation.Evaluation {
	t.Helper()
	started := time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC)
	e := &evaluation.Evaluation{Labels: quadruple.Labels, StartedAt: started, FinishedAt: started.Add(95 * time.Second)}
	for i := range n {
		gold := (i*7 + i/4) % 4
		decided := decide(i, gold)
		noun := nouns[i%len(nouns)]
		d := evaluation.Decision{
			SourceLine: int64(3*i + 1), Digest: fmt.Sprintf("%064x", i), Gold: quadruple.Labels[gold], Decided: quadruple.Labels[decided],
			Generated: quadruple.Labels[decided],
			Prompt:    fmt.Sprintf(requests[(i/3)%4], noun),
			Answer: quadruple.Quadruple{Task: noun + "についての依頼。", Safety: quadruple.DecisionLine(quadruple.Labels[decided]) + "\n" + judgement[decided],
				Policy: "規程に従う。", Final: noun + "の件、承知しました。"}.String(),
			WellFormed: wellFormed, Finished: true, OwnThinkTask: true, GeneratedTokens: 50, LatencySeconds: 0.2 + float64(i%10)/50,
		}
		d.Confidence = 0.3 + 0.65*float64((i*37)%101)/101
		for j := range d.Probabilities {
			d.Probabilities[j] = (1 - d.Confidence) / 3
		}
		d.Probabilities[decided] = d.Confidence
		e.Decisions = append(e.Decisions, d)
	}
	e.Totals = evaluation.Totals{LossSum: 1.9 * float64(n), LabelledTokens: n, GenerationSeconds: 40}
	if err := e.Recompute(); err != nil {
		t.Fatal(err)
	}
	return e
}

// ByChance decides without regard to the gold label.
func ByChance(i, _ int) int { return (i * i / 3) % 4 }

// MostlyRight errs on every 25th sample.
func MostlyRight(i, gold int) int {
	if i%25 == 24 {
		return (gold + 1) % 4
	}
	return gold
}

// Compare is evaluation.Compare, and fails the test on an error.
func Compare(t testing.TB, base, retrained *evaluation.Evaluation, o evaluation.CompareOptions) *evaluation.Result {
	t.Helper()
	r, err := evaluation.Compare(base, retrained, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Promoted compares a model that decides 200 samples by chance with one that is mostly right.
func Promoted(t testing.TB, o evaluation.CompareOptions) *evaluation.Result {
	t.Helper()
	return Compare(t, New(t, 200, true, ByChance), New(t, 200, true, MostlyRight), o)
}

// NewPlain makes an evaluation of n samples without labels, the first 5 of them answered; loss gives the mean loss of the
// i-th sample. Every fourth sample is a near duplicate.
func NewPlain(t testing.TB, n int, loss func(i int) float64) *evaluation.Evaluation {
	t.Helper()
	started := time.Date(2026, 1, 31, 2, 0, 0, 0, time.UTC)
	o := evaluation.Options{Plain: true, Answers: 5, EOS: []int32{2}}
	e := &evaluation.Evaluation{Options: o, StartedAt: started, FinishedAt: started.Add(41 * time.Second)}
	for i := range n {
		noun := nouns[i%len(nouns)]
		d := evaluation.Decision{SourceFile: i % 2, SourceLine: int64(3*i + 1), Digest: fmt.Sprintf("%064x", i), NearDuplicate: i%4 == 3,
			Prompt: fmt.Sprintf(requests[(i/3)%4], noun), LabelledTokens: 20 + (i*13)%50}
		d.LossSum = loss(i) * float64(d.LabelledTokens)
		if i < 5 {
			d.Answer, d.Reference = noun+"は <b>公開</b> できます。", noun+"の件、承知しました。"
			d.Finished, d.GeneratedTokens, d.LatencySeconds = true, 30+i, 0.3+float64(i)/20
			e.Totals.GenerationSeconds += d.LatencySeconds
		}
		e.Totals.LossSum += d.LossSum
		e.Totals.LabelledTokens += d.LabelledTokens
		e.Decisions = append(e.Decisions, d)
	}
	if err := e.Recompute(); err != nil {
		t.Fatal(err)
	}
	return e
}
