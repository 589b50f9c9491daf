package guard_test

import (
	"errors"
	"strings"
	"testing"

	"so8t/quadruple"
	"so8t/serve/guard"
	"so8t/serve/servetest"
)

func TestVerdicts(t *testing.T) {
	fixed, sure := options, options
	fixed.Refusal = guard.Fixed
	sure.MinConfidence = 0.9
	for _, c := range []struct {
		name            string
		options         guard.Options
		written, scored string
		confidence      float64
		label           string
		escalated, own  bool // own: the model's text leaves
	}{
		{"agreed", options, "ALLOW", "ALLOW", 0.97, "ALLOW", false, true},
		{"agreed to deny", options, "DENY", "DENY", 0.97, "DENY", false, true},
		{"agreed to escalate", options, "ESCALATION", "ESCALATION", 0.97, "ESCALATION", true, true},
		{"scored stricter", options, "ALLOW", "REFUSE", 0.97, "REFUSE", true, false},
		{"scored stricter, between", options, "ESCALATION", "DENY", 0.97, "DENY", true, false},
		{"written stricter", options, "DENY", "ALLOW", 0.97, "DENY", true, true},
		{"unsure", sure, "ALLOW", "ALLOW", 0.8, "ALLOW", true, true},
		{"sure enough", sure, "ALLOW", "ALLOW", 0.9, "ALLOW", false, true},
		{"fixed DENY", fixed, "DENY", "DENY", 0.97, "DENY", false, false},
		{"fixed REFUSE", fixed, "REFUSE", "REFUSE", 0.97, "REFUSE", false, false},
		{"fixed does not concern ALLOW", fixed, "ALLOW", "ALLOW", 0.97, "ALLOW", false, true},
		{"fixed does not concern ESCALATION", fixed, "ESCALATION", "ESCALATION", 0.97, "ESCALATION", true, true},
		{"malformed", options, "", "ALLOW", 0.97, "ESCALATION", true, false},
		{"malformed, scored DENY", options, "", "DENY", 0.97, "DENY", true, false},
	} {
		output := servetest.Characters(servetest.Answer(c.written, "最終"))
		output.Scored, output.Confidence = c.scored, c.confidence
		b := play(c.options, output)
		result, _ := b.answers(t, ask("質問"))
		if result.Label != c.label || result.Escalated != c.escalated || (result.Answer == "最終") != c.own || !c.own && result.Answer != fallback {
			t.Errorf("%s: %+v", c.name, result)
		}
		if !c.own && result.FinishReason != guard.ContentFilter {
			t.Errorf("%s: %s", c.name, result.FinishReason)
		}
		if d := result.Confidence - c.confidence; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s: confidence %v", c.name, result.Confidence)
		}
		if record := b.audit.Answers()[0]; record.Written != c.written || record.Model != b.model.Digest() {
			t.Errorf("%s: recorded %+v", c.name, record)
		}
		if escalations := len(b.escalator.Cases()); (escalations == 1) != (c.label == "ESCALATION") || (result.EscalationID != "") != (escalations == 1) {
			t.Errorf("%s: %d cases, id %q", c.name, escalations, result.EscalationID)
		}
	}
}

// A confidence depends on the thinking: told with all digits it would confirm guesses at that. What it decides, it decides
// with all of them.
func TestConfidenceHasFourDigits(t *testing.T) {
	sure := options
	sure.MinConfidence = 0.87654
	output := servetest.Characters(servetest.Answer("ALLOW", "はい"))
	output.Scored, output.Confidence = "ALLOW", 0.8765123
	b := play(sure, output)
	if result, _ := b.answers(t, ask("?")); result.Confidence != 0.8765 || b.audit.Answers()[0].Confidence != 0.8765 || !result.Escalated {
		t.Errorf("%+v", result)
	}
}

// A malformed answer that states a label is no laxer than it.
func TestMalformedKeepsItsLabel(t *testing.T) {
	text := strings.Replace(servetest.Answer("REFUSE", "最終"), "<think-policy>", "", 1)
	output := servetest.Characters(text)
	output.Scored = "ALLOW"
	b := play(options, output)
	if result, _ := b.answers(t, ask("?")); result.Label != "REFUSE" || result.Answer != fallback || b.audit.Answers()[0].Written != "REFUSE" {
		t.Errorf("%+v", result)
	}
}

// A case has the request, none of the thinking, and its id is in the record.
func TestCase(t *testing.T) {
	b := play(options, servetest.Characters(servetest.Answer("ESCALATION", "確認します。")))
	r := ask("公開してよいですか")
	result, _ := b.answers(t, r)
	c := b.escalator.Cases()[0]
	if c.RequestID != r.ID || c.Key != r.Key || c.User != r.User || c.Query != "公開してよいですか" || c.Model != b.model.Digest() || c.Confidence != result.Confidence {
		t.Errorf("%+v", c)
	}
	if record := b.audit.Answers()[0]; record.Escalation != result.EscalationID || record.Escalation == "" {
		t.Errorf("recorded %+v", record)
	}
	b.escalator.Err = errors.New("the outbox is full")
	var sink servetest.Sink
	b.wantError(t, t.Context(), ask("?"), &sink, guard.Unavailable, "escalation_unavailable")
	if sink.Joined() != "" || len(b.audit.Answers()) != 1 {
		t.Errorf("%q left, %d records", sink.Joined(), len(b.audit.Answers()))
	}
	g := guard.New(servetest.Serve(b.model), b.audit, nil, options)
	if result, err := g.Answer(t.Context(), ask("?"), &sink); err != nil || !result.Escalated || result.EscalationID != "" {
		t.Errorf("without an escalator: %+v, %v", result, err)
	}
}

// The labels are scored behind the model's own think-task, once, though later text is there already.
func TestLabelIsScoredBehindTheThinkTask(t *testing.T) {
	text := servetest.Answer("DENY", "いいえ。")
	task, _, _ := strings.Cut(text, "DENY")
	for name, output := range map[string]servetest.Output{"characters": servetest.Characters(text), "whole": servetest.Say(text)} {
		b := play(options, output)
		b.answers(t, ask("?"))
		scored := b.model.Scored()
		if len(scored) != 1 {
			t.Fatalf("%s: scored %d times", name, len(scored))
		}
		for i, label := range quadruple.Labels {
			if got := scored[0].Context + scored[0].Continuations[i]; got != task+label+"\n" {
				t.Errorf("%s: scored %q", name, got)
			}
		}
	}
	b := play(options, servetest.Say("思考の形を", "知らない。"))
	b.answers(t, ask("?"))
	if want := "<think-task>思考の形を</think-task><think-safety>decision: "; b.model.Scored()[0].Context != want {
		t.Errorf("malformed: scored behind %q", b.model.Scored()[0].Context)
	}
}
