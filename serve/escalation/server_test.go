package escalation

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"so8t/contract"
)

func signal(ctx context.Context, c client.Client, id, decision string) error {
	return c.SignalWorkflow(ctx, id, "", contract.VerbDecide, json.RawMessage(decision))
}

func update(ctx context.Context, c client.Client, id, decision string) (result contract.EscalationResult, err error) {
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: contract.VerbDecide,
		Args: []any{json.RawMessage(decision)}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return result, err
	}
	return result, handle.Get(ctx, &result)
}

func TestDecided(t *testing.T) {
	t.Parallel() // most of its time is waiting
	server := startServer(t, "")
	c := server.Client()
	for _, tc := range []struct {
		name, requestID, state, by, note, record string
		deadline                                 time.Duration
		decide                                   func(ctx context.Context, id string) error
	}{
		{"by signal", "req_signal", Allowed, contract.ByPerson, "確認済み", `"decision":"allow"`, time.Hour,
			func(ctx context.Context, id string) error {
				return signal(ctx, c, id, `{"decision":"allow","note":"確認済み"}`)
			}},
		{"by update", "req_update", Denied, contract.ByPerson, "no", `"decision":"deny"`, time.Hour,
			func(ctx context.Context, id string) error {
				result, err := update(ctx, c, id, `{"decision":"deny","note":"no"}`)
				if result.Seq != 1 || result.Hash != "line 1" {
					t.Errorf("answered with %+v, want the record's place", result)
				}
				return err
			}},
		{"by deadline", "req_deadline", Denied, contract.ByDeadline, "", `"by":"deadline"`, time.Second,
			func(context.Context, string) error { return nil }},
		{"by cancellation", "req_cancel", Denied, contract.ByCancellation, "", `"by":"cancellation"`, time.Hour,
			func(ctx context.Context, id string) error { return c.CancelWorkflow(ctx, id, "") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(dir).at(server.FrontendHostPort())
			o.Deadline = tc.deadline
			d := newDesk(t, o)
			defer d.runFor(t)()
			id := d.mustEscalate(t, theCase(tc.requestID))
			if tc.deadline > time.Second {
				d.until(t, id, Pending)
				waits(t, c, id)
			}
			if err := tc.decide(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			s := d.until(t, id, tc.state)
			if s.By != tc.by || s.Note != tc.note || s.Decided == "" || s.RequestID != tc.requestID {
				t.Errorf("%+v", s)
			}
			ledger(o.AuditDir).recorded(t, tc.record)
			if _, err := d.Status(t.Context(), "team-b", id); !errors.Is(err, ErrUnknown) {
				t.Errorf("another key: %v", err)
			}
			if ids, err := d.outbox.ids(); err != nil || len(ids) != 0 {
				t.Errorf("left in the outbox: %v, %v", ids, err)
			}
		})
	}
	t.Run("unknown to the server", func(t *testing.T) {
		d := newDesk(t, options(t.TempDir()).at(server.FrontendHostPort()))
		defer d.runFor(t)()
		for d.temporal.Load() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := d.Status(t.Context(), "team-a", "escalation-req_never"); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
	})
	t.Run("terminated", func(t *testing.T) {
		d := newDesk(t, options(t.TempDir()).at(server.FrontendHostPort()))
		defer d.runFor(t)()
		id := d.mustEscalate(t, theCase("req_terminated"))
		d.until(t, id, Pending)
		if err := c.TerminateWorkflow(t.Context(), id, "", ""); err != nil {
			t.Fatal(err)
		}
		d.until(t, id, Abandoned)
	})
}

// What the server holds of a case: the query where its owner shares it and nothing is encrypted, and the user's own id never.
func TestHistories(t *testing.T) {
	t.Parallel() // most of its time is waiting
	server := startServer(t, "")
	c := server.Client()
	const note = "担当者のメモ: 承認済み"
	for _, tc := range []struct {
		name, requestID string
		change          func(*Options)
		inClear         []string
		hidden          []string
	}{
		{"shared", "req_shared", func(*Options) {}, []string{secret, note, "hmac:77777777", "team-a"}, []string{askedBy}},
		{"not shared", "req_private", func(o *Options) { o.Share = func(string) string { return ShareNone } },
			[]string{note, "hmac:77777777"}, []string{askedBy, secret}},
		{"encrypted", "req_encrypted", func(o *Options) { o.Codec = newCodec(t, keyOf(1)) },
			[]string{"binary/encrypted"}, []string{askedBy, secret, note, "hmac:77777777", "team-a", "sha256:00", "Decide about", `"confidence"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(t.TempDir()).at(server.FrontendHostPort())
			o.RemindEvery = 500 * time.Millisecond
			o.Deadline = time.Minute
			tc.change(&o)
			d := newDesk(t, o)
			defer d.runFor(t)()
			id := d.mustEscalate(t, theCase(tc.requestID))
			d.until(t, id, Pending)
			reader := c
			if o.Codec != nil {
				var err error
				if reader, err = client.Dial(d.options.Temporal); err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
			}
			waits(t, reader, id)
			time.Sleep(700 * time.Millisecond) // for a reminder
			if _, err := update(t.Context(), reader, id, `{"decision":"allow","note":"`+note+`"}`); err != nil {
				t.Fatal(err)
			}
			d.until(t, id, Allowed)
			all := history(t, c, id)
			for _, text := range tc.inClear {
				if !holds(all, text) {
					t.Errorf("the history lacks %q", text)
				}
			}
			for _, text := range tc.hidden {
				if holds(all, text) {
					t.Errorf("the history holds %q", text)
				}
			}
		})
	}
}
