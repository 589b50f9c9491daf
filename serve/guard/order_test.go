package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"so8t/serve/audit"
	"so8t/serve/guard"
	"so8t/serve/servetest"
)

// Nothing leaves while the record is not on disk, however far the model has come.
func TestRecordComesBeforeTheFirstVisibleByte(t *testing.T) {
	for name, text := range map[string]string{"in the form": servetest.Answer("ALLOW", "はい"), "malformed": "はい"} {
		b := play(options, servetest.Characters(text))
		b.audit.Hold = make(chan struct{})
		var sink servetest.Sink
		over := make(chan error)
		go func() {
			_, err := b.Answer(context.Background(), ask("?"), &sink)
			over <- err
		}()
		select {
		case err := <-over:
			t.Fatalf("%s: answered without a record: %v", name, err)
		case <-time.After(50 * time.Millisecond):
		}
		if sink.Joined() != "" || len(sink.Verdicts()) > 0 {
			t.Errorf("%s: %v, %q left before the record", name, sink.Verdicts(), sink.Joined())
		}
		close(b.audit.Hold)
		if err := <-over; err != nil || sink.Joined() == "" {
			t.Errorf("%s: %q, %v", name, sink.Joined(), err)
		}
	}
}

// keeper is an auditor that keeps the memory it was given, and holds the record back.
type keeper struct {
	servetest.Auditor
	reasoning []byte
	open      func() int
	atRecord  int // sequences open when the record is written
}

func (k *keeper) Answer(ctx context.Context, a audit.Answer) (string, error) {
	k.reasoning, k.atRecord = a.Reasoning, k.open()
	return k.Auditor.Answer(ctx, a)
}

// spy is a sink that looks at what is there when text leaves.
type spy struct {
	servetest.Sink
	look func()
}

func (s *spy) Text(piece string) error {
	s.look()
	return s.Sink.Text(piece)
}

// The thinking is overwritten when it has been hashed, before anything leaves. Where nothing of the model's text will leave, it does not go on
// generating while the record is written.
func TestThinkingIsForgotten(t *testing.T) {
	for scored, open := range map[string]int{"ALLOW": 1, "REFUSE": 0} {
		output := servetest.Characters(servetest.Answer("ALLOW", "はい"))
		output.Scored = scored
		b := play(options, output)
		k := &keeper{open: b.model.Open}
		looked := false
		sink := &spy{look: func() {
			if looked = true; len(k.reasoning) == 0 || strings.Trim(string(k.reasoning), "\x00") != "" {
				t.Errorf("%q is still in memory", k.reasoning)
			}
		}}
		if _, err := guard.New(servetest.Serve(b.model), k, nil, options).Answer(t.Context(), ask("?"), sink); err != nil || !looked {
			t.Fatalf("text left %t, %v", looked, err)
		}
		if k.atRecord != open || !strings.Contains(string(k.Answers()[0].Reasoning), servetest.Canary) {
			t.Errorf("scored %s: %d sequences open at the record of %q", scored, k.atRecord, k.Answers()[0].Reasoning)
		}
	}
}

// wantError asks, and demands an error of that kind and code.
func (b *bench) wantError(t *testing.T, ctx context.Context, r guard.Request, sink guard.Sink, kind guard.Kind, code string) *guard.Error {
	t.Helper()
	result, err := b.Answer(ctx, r, sink)
	var typed *guard.Error
	if !errors.As(err, &typed) || typed.Kind != kind || typed.Code != code || result != (guard.Result{}) {
		t.Fatalf("%+v, %v; want kind %d, %s", result, err, kind, code)
	}
	if n := b.model.Open(); n != 0 {
		t.Errorf("%s: %d sequences are open", code, n)
	}
	return typed
}

func TestWithoutRecordNothingLeaves(t *testing.T) {
	b := play(options, servetest.Characters(servetest.Answer("ALLOW", "はい")))
	b.audit.AnswerErr = errors.New("disk full at " + servetest.Canary)
	var sink servetest.Sink
	if err := b.wantError(t, t.Context(), ask("?"), &sink, guard.Unavailable, "audit_unavailable"); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("cause %v", errors.Unwrap(err))
	}
	if sink.Joined() != "" || len(sink.Verdicts()) > 0 || len(b.audit.Dones()) > 0 {
		t.Errorf("%q, %v left; ends %v", sink.Joined(), sink.Verdicts(), b.audit.Dones())
	}
	b = play(options, servetest.Characters(servetest.Answer("ALLOW", "はい")))
	b.audit.DoneErr = errors.New("disk full")
	b.wantError(t, t.Context(), ask("?"), &servetest.Sink{}, guard.Unavailable, "audit_unavailable")
}

// The sequence is closed as soon as nothing more of it can leave, before the model ends it.
func TestSequenceIsClosedWithTheFilter(t *testing.T) {
	for name, text := range map[string]string{"closed": servetest.Answer("ALLOW", "はい"), "malformed": "はい", "cut": strings.TrimSuffix(
		servetest.Answer("ALLOW", "はい\ndecision: DENY\n"), "</final>")} {
		output := servetest.Characters(text)
		output.Pieces = append(output.Pieces, strings.Split(strings.Repeat("x", 1000), "")...)
		output.NextErr = errors.New("read too far")
		b := play(options, output)
		if result, _ := b.answers(t, ask("?")); result.ReasoningTokens > len([]rune(text)) {
			t.Errorf("%s: read on for %d tokens", name, result.ReasoningTokens)
		}
	}
}

// A sink that fails ends the sequence at once; the end is recorded.
func TestSinkFails(t *testing.T) {
	for _, sink := range []*servetest.Sink{{BeginErr: errors.New("gone")}, {TextErr: errors.New("gone")}} {
		output := servetest.Characters(servetest.Answer("ALLOW", "はい、そうです。"))
		output.NextErr = errors.New("read too far")
		b := play(options, output)
		b.wantError(t, t.Context(), ask("?"), sink, guard.Cancelled, "cancelled")
		if len(sink.Pieces()) > 1 {
			t.Errorf("%q was given to a sink that fails", sink.Pieces())
		}
		if dones := b.audit.Dones(); len(dones) != 1 || dones[0].FinishReason != "cancelled" {
			t.Errorf("recorded %+v", dones)
		}
	}
}

// A client that goes ends the sequence. Where the answer had a record, its end has one too.
func TestCancelled(t *testing.T) {
	thinking, _, _ := strings.Cut(servetest.Answer("ALLOW", ""), "<final>")
	for name, c := range map[string]struct {
		pieces []string
		dones  int
	}{
		"in the thinking": {[]string{"<think-task>"}, 0},
		"while scoring":   {[]string{strings.TrimSuffix(thinking, "</think-policy>")}, 0},
		"in the final":    {[]string{thinking, "<final>はい"}, 1},
	} {
		output := servetest.Output{Pieces: append(c.pieces, strings.Split(strings.Repeat("x", 10000), "")...), Delay: time.Millisecond}
		if name == "while scoring" {
			output.ScoreDelay = 100 * time.Millisecond
		}
		b := play(options, output)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Millisecond, cancel)
		b.wantError(t, ctx, ask("?"), &servetest.Sink{}, guard.Cancelled, "cancelled")
		if dones := b.audit.Dones(); len(dones) != c.dones || c.dones > 0 && dones[0].FinishReason != "cancelled" {
			t.Errorf("%s: recorded %+v", name, dones)
		}
		wantAborted(t, name, b, 1-c.dones, "cancelled")
		o := options
		o.Deadline = 30 * time.Millisecond
		b = play(o, output)
		b.wantError(t, t.Context(), ask("?"), &servetest.Sink{}, guard.Cancelled, "deadline_exceeded")
		if len(b.audit.Dones()) != c.dones {
			t.Errorf("%s, deadline: recorded %+v", name, b.audit.Dones())
		}
		wantAborted(t, name, b, 1-c.dones, "deadline")
	}
}

// wantAborted demands n records of a request that came to no answer.
func wantAborted(t *testing.T, name string, b *bench, n int, why string) {
	t.Helper()
	records := b.audit.Abortions()
	if len(records) != n {
		t.Errorf("%s: %d records of a request without an answer, want %d", name, len(records), n)
		return
	}
	for _, r := range records {
		if r.FinishReason != why || r.ID == "" || r.Model == "" || r.PromptTokens == 0 || len(r.Prompt) == 0 {
			t.Errorf("%s: recorded %+v", name, r)
		}
	}
}

// Whatever fails, the error is typed, and holds neither what failed nor what was thought.
func TestFailures(t *testing.T) {
	secret := errors.New(servetest.Canary)
	whole := servetest.Say(servetest.Answer("ALLOW", "はい"))
	opened, _, _ := strings.Cut(servetest.Answer("ALLOW", ""), "</final>")
	for name, c := range map[string]struct {
		output servetest.Output
		kind   guard.Kind
		code   string
	}{
		"begin":              {servetest.Output{BeginErr: secret}, guard.Failed, "model_failed"},
		"queue full":         {servetest.Output{BeginErr: &guard.Error{Kind: guard.Busy, Code: "queue_full"}}, guard.Busy, "queue_full"},
		"next":               {servetest.Output{Pieces: whole.Pieces[:0], NextErr: secret}, guard.Failed, "model_failed"},
		"next, in the final": {servetest.Output{Pieces: []string{opened}, NextErr: secret}, guard.Failed, "model_failed"},
		"score":              {servetest.Output{Pieces: whole.Pieces, ScoreErr: secret}, guard.Failed, "score_failed"},
		"panic":              {servetest.Output{Pieces: []string{opened}, Panic: servetest.Canary}, guard.Failed, "internal_error"},
		"panic of score":     {servetest.Output{Pieces: whole.Pieces, ScorePanic: secret}, guard.Failed, "internal_error"},
		"panic of play":      {servetest.Output{}, guard.Failed, "internal_error"},
	} {
		b := play(options, c.output)
		if name == "panic of play" {
			b.model.Play = func(string) servetest.Output { panic(servetest.Canary) }
		}
		err := b.wantError(t, t.Context(), ask(servetest.Canary), &servetest.Sink{}, c.kind, c.code)
		for e := error(err); e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), servetest.Canary) {
				t.Errorf("%s: %v", name, e)
			}
		}
		if answers, dones := b.audit.Answers(), b.audit.Dones(); len(answers) != len(dones) {
			t.Errorf("%s: %d answers and %d ends are recorded", name, len(answers), len(dones))
		}
		aborted := 1 - len(b.audit.Answers())
		if name == "begin" || name == "queue full" || name == "panic of play" { // the model has not begun
			aborted = 0
		}
		wantAborted(t, name, b, aborted, "error")
	}
	g := guard.New(servetest.Serve(nil), &servetest.Auditor{}, nil, options)
	var typed *guard.Error
	if _, err := g.Answer(t.Context(), ask("?"), &servetest.Sink{}); !errors.As(err, &typed) || typed.Kind != guard.Unavailable || typed.Code != "loading" {
		t.Errorf("no model: %v", err)
	}
}
