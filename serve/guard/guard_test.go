package guard_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"so8t/quadruple"
	"so8t/quadruple/quadrupletest"
	"so8t/serve/guard"
	"so8t/serve/servetest"
	"so8t/tokenizer"
)

const fallback = "お答えできません。"

var options = guard.Options{MaxNewTokens: 1 << 16, MinConfidence: 0.5, Refusal: "model", Fallback: fallback}

// bench is a guard with what stands around it.
type bench struct {
	*guard.Guard
	model     *servetest.Model
	audit     *servetest.Auditor
	escalator *servetest.Escalator
}

func play(o guard.Options, output servetest.Output) *bench {
	b := &bench{model: &servetest.Model{Play: func(string) servetest.Output { return output }}, audit: &servetest.Auditor{},
		escalator: &servetest.Escalator{}}
	b.Guard = guard.New(servetest.Serve(b.model), b.audit, b.escalator, o)
	return b
}

var requests atomic.Int64

func ask(query string) guard.Request {
	return guard.Request{ID: fmt.Sprintf("req_%d", requests.Add(1)), Key: "team", User: "u", Messages: []tokenizer.Message{{Role: "user", Content: query}}}
}

// answers asks and demands an answer.
func (b *bench) answers(t testing.TB, r guard.Request) (guard.Result, *servetest.Sink) {
	t.Helper()
	var sink servetest.Sink
	result, err := b.Answer(t.Context(), r, &sink)
	if err != nil {
		t.Fatalf("%v: %v", err, errors.Unwrap(err))
	}
	b.holds(t, r, result, &sink)
	return result, &sink
}

// holds is what every answer must be: one verdict before the text, two records, no sequence left open.
func (b *bench) holds(t testing.TB, r guard.Request, result guard.Result, sink *servetest.Sink) {
	t.Helper()
	if verdicts := sink.Verdicts(); len(verdicts) != 1 || verdicts[0] != result.Verdict || sink.Joined() != result.Answer {
		t.Errorf("the sink has %+v and %q, the result %+v", verdicts, sink.Joined(), result)
	}
	answers, dones := b.audit.Answers(), b.audit.Dones()
	if len(answers) == 0 || len(dones) != len(answers) {
		t.Fatalf("%d answers and %d ends are recorded", len(answers), len(dones))
	}
	answer, done := answers[len(answers)-1], dones[len(dones)-1]
	if answer.ID != r.ID || done.ID != r.ID || answer.Label != result.Label || answer.Escalated != result.Escalated ||
		answer.Confidence != result.Confidence || done.FinishReason != result.FinishReason || done.CompletionTokens != result.CompletionTokens {
		t.Errorf("recorded %+v, %+v; result %+v", answer, done, result)
	}
	if n := b.model.Open(); n != 0 {
		t.Errorf("%d sequences are open", n)
	}
}

// Whatever way an output is cut, what leaves is exactly what the set says; the fallback where nothing may.
func TestCasesLeak(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range quadrupletest.Cases(t) {
		want := c.Answer
		if want == "" {
			want = fallback
		}
		reasoning := ""
		for way, pieces := range quadrupletest.Cuts(t, c.Output, r) {
			for batch := range 2 {
				b := play(options, servetest.Output{Pieces: pieces, Batch: 3 * batch})
				result, _ := b.answers(t, ask("在庫は？"))
				record, done := b.audit.Answers()[0], b.audit.Dones()[0]
				if result.Answer != want || done.End != string(c.End) {
					t.Errorf("%s, %s: %q, %s; want %q, %s: %s", c.ID, way, result.Answer, done.End, want, c.End, c.Why)
				}
				if malformed := c.End == quadruple.Malformed; malformed != (record.End == "malformed") || malformed && !result.Escalated {
					t.Errorf("%s, %s: recorded as %s, escalated %t", c.ID, way, record.End, result.Escalated)
				} else if !malformed {
					if before, _, _ := strings.Cut(c.Output, "<final>"); string(record.Reasoning) != before {
						t.Errorf("%s, %s: %q was hashed, the thinking is %q", c.ID, way, record.Reasoning, before)
					}
					if reasoning != "" && reasoning != string(record.Reasoning) {
						t.Errorf("%s: the hash depends on the cuts", c.ID)
					}
					reasoning = string(record.Reasoning)
				}
			}
		}
	}
}

func TestFinishReasons(t *testing.T) {
	thinking, _, _ := strings.Cut(servetest.Answer("ALLOW", ""), "<final>")
	open := func(text string, bounded bool) servetest.Output {
		o := servetest.Characters(text)
		o.Unfinished = bounded
		return o
	}
	for _, c := range []struct {
		name        string
		output      servetest.Output
		answer, why string
		end         string
	}{
		{"closed", open(servetest.Answer("ALLOW", "はい"), false), "はい", guard.Stop, "closed"},
		{"open, ended by the model", open(thinking+"<final>はい", false), "はい", guard.Stop, "open"},
		{"open, ended by the bound", open(thinking+"<final>はい", true), "はい", guard.Length, "open"},
		{"bounded before <final>", open(thinking, true), fallback, guard.Length, "malformed"},
		{"bounded in the thinking", open("<think-task>長い", true), fallback, guard.Length, "malformed"},
		{"ended before <final>", open(thinking, false), fallback, guard.ContentFilter, "malformed"},
		{"cut", open(thinking+"<final>はい\ndecision: ALLOW\n</final>", false), "はい", guard.ContentFilter, "cut"},
		{"blank", open(thinking+"<final> \n</final>", false), fallback, guard.ContentFilter, "closed"},
		{"blank, bounded", open(thinking+"<final> ", true), fallback, guard.Length, "open"},
		{"malformed", open("はい。"+thinking+"<final>はい</final>", false), fallback, guard.ContentFilter, "malformed"},
		{"nothing", servetest.Output{}, fallback, guard.ContentFilter, "malformed"},
	} {
		b := play(options, c.output)
		result, _ := b.answers(t, ask("?"))
		if result.Answer != c.answer || result.FinishReason != c.why || b.audit.Dones()[0].End != c.end {
			t.Errorf("%s: %q, %s, %s", c.name, result.Answer, result.FinishReason, b.audit.Dones()[0].End)
		}
		starved := c.why == guard.Length && c.end == "malformed"
		if called := len(b.escalator.Cases()) == 1; called != (result.Label == "ESCALATION" && !starved) {
			t.Errorf("%s, labelled %s: a person is called: %t", c.name, result.Label, called)
		}
	}
}

// The tokens that end an answer are none of it, and what a model writes behind them is not read.
func TestEndTokens(t *testing.T) {
	thinking, _, _ := strings.Cut(servetest.Answer("ALLOW", ""), "<final>")
	b := play(options, servetest.Say(thinking, "<final>はい", "<|end|>", "いいえ"))
	if result, _ := b.answers(t, ask("?")); result.Answer != "はい" || result.FinishReason != guard.Stop {
		t.Errorf("%+v", result)
	}
}

func TestTokenCounts(t *testing.T) {
	text := servetest.Answer("ALLOW", "yes")
	b := play(options, servetest.Say(strings.Split(text, "")...))
	result, _ := b.answers(t, ask("?"))
	if all := len(strings.Split(text, "")); result.CompletionTokens != 3 || result.ReasoningTokens != all-3 {
		t.Errorf("%d tokens visible, %d not; the model wrote %d", result.CompletionTokens, result.ReasoningTokens, all)
	}
	if want := len((&servetest.Tokenizer{}).Encode("<|user|>\n?<|end|>\n<|assistant|>\n")); result.PromptTokens != want {
		t.Errorf("%d tokens of the prompt, want %d", result.PromptTokens, want)
	}
	b = play(options, servetest.Say(strings.Split("no form at all", "")...))
	if result, _ = b.answers(t, ask("?")); result.CompletionTokens != len(fallback) || result.ReasoningTokens != 1 {
		t.Errorf("malformed: %d tokens visible, %d not", result.CompletionTokens, result.ReasoningTokens)
	}
}
