package evaluation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/dataset"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/tokenizer"
)

func loadTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Load("../tokenizer/testdata/fallback")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// memorySamples is a test part in memory.
type memorySamples []dataset.Sample

func (s memorySamples) Len() int                { return len(s) }
func (s memorySamples) At(i int) dataset.Sample { return s[i] }

// render makes a sample as the dataset does: the whole conversation as one text, labels on
// the assistant's tokens and its <|end|>.
func render(t testing.TB, tok *tokenizer.Tokenizer, line int, request, answer, label string) dataset.Sample {
	t.Helper()
	user := tokenizer.Message{Role: "user", Content: request}
	head, err := tok.ApplyChatTemplate([]tokenizer.Message{user}, true)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := tok.ApplyChatTemplate([]tokenizer.Message{user, {Role: "assistant", Content: answer}}, false)
	if err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode(whole)
	end, _ := tok.ID("<|end|>")
	ids = ids[:len(ids)-slices.Index(reversed(ids), end)]
	labels := slices.Clone(ids)
	prompt := len(tok.Encode(head))
	for i := range prompt {
		labels[i] = -100
	}
	return dataset.Sample{InputIDs: ids, Labels: labels, PromptLength: prompt, Label: label, SourceLine: int64(line),
		Digest: fmt.Sprintf("%064x", line*7919%1009)}
}

func reversed(ids []int32) []int32 {
	out := slices.Clone(ids)
	slices.Reverse(out)
	return out
}

// inForm writes an answer in the quadruple form.
func inForm(task, label, final string) string {
	return quadruple.Quadruple{Task: task, Safety: quadruple.DecisionLine(label) + "\n安全です。", Policy: "方針に従います。", Final: final}.String()
}

const (
	allow      = quadruple.Allow
	escalation = quadruple.Escalation
	deny       = quadruple.Deny
	refuse     = quadruple.Refuse
)

// fakeModel answers by a function of the request, and believes what it writes in its
// think-task: the label named there gets probability 0.7, or the one of belief where set.
type fakeModel struct {
	tok    *tokenizer.Tokenizer
	answer func(prompt string) string
	belief func(context string) string
	cancel context.CancelFunc // called in the first Generate

	asked    [][]int32 // prompts given to Score
	batches  int
	scored   int // calls of Score
	generate error
}

func (m *fakeModel) Generate(ctx context.Context, prompts [][]int32, o engine.GenerateOptions) ([]engine.Generation, error) {
	m.batches++
	if m.cancel != nil {
		m.cancel()
	}
	if m.generate != nil {
		return nil, m.generate
	}
	out := make([]engine.Generation, len(prompts))
	for i, p := range prompts {
		ids := m.tok.Encode(m.tok.Decode(p[len(p)-1:], false) + m.answer(m.tok.Decode(p, true)))[1:]
		finished := len(ids) <= o.MaxNewTokens
		out[i] = engine.Generation{Tokens: ids[:min(len(ids), o.MaxNewTokens)], Finished: finished, Latency: time.Duration(len(ids)) * time.Millisecond}
	}
	return out, nil
}

// Score gives each label's tokens probabilities that multiply to the label's.
func (m *fakeModel) Score(_ context.Context, prompts, continuations [][]int32) ([][]float64, error) {
	m.scored++
	m.asked = append(m.asked, prompts...)
	out := make([][]float64, len(prompts))
	for i, p := range prompts {
		believed := m.belief(m.tok.Decode(p, true))
		for _, c := range continuations {
			score := -2.302585092994046 // ln 0.1
			if strings.HasPrefix(strings.TrimSpace(m.tok.Decode(c, false)), believed) {
				score = -0.35667494393873245 // ln 0.7
			}
			out[i] = append(out[i], score)
		}
	}
	return out, nil
}

// Loss is half a nat a labelled token.
func (m *fakeModel) Loss(_ context.Context, inputIDs, labels [][]int32) (sum float64, targets int, err error) {
	for i := range labels {
		if len(labels[i]) != len(inputIDs[i]) {
			return 0, 0, errors.New("labels and input_ids differ in length")
		}
		for _, l := range labels[i] {
			targets += one(l >= 0)
		}
	}
	return 0.5 * float64(targets), targets, nil
}
