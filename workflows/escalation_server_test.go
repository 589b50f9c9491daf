package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"so8t/contract"
)

// decisions are the ways in which an Escalation ends on a real server, by name.
var decisions = map[string]struct {
	decide func(ctx context.Context, server client.Client, id string) error
	want   contract.EscalationResult // without times
}{
	"escalation_by_update": {
		func(ctx context.Context, server client.Client, id string) error {
			handle, err := server.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: id, UpdateName: contract.VerbDecide,
				Args: []any{contract.Decision{Decision: contract.Allow, Note: "checked"}}, WaitForStage: client.WorkflowUpdateStageCompleted})
			if err != nil {
				return err
			}
			return handle.Get(ctx, nil)
		},
		contract.EscalationResult{Decision: contract.Decision{Decision: contract.Allow, Note: "checked"}, By: contract.ByPerson},
	},
	"escalation_by_signal": {
		func(ctx context.Context, server client.Client, id string) error {
			return errors.Join(
				server.SignalWorkflow(ctx, id, "", contract.VerbDecide, json.RawMessage(`{"decision":"perhaps"}`)), // is ignored
				server.SignalWorkflow(ctx, id, "", contract.VerbDecide, json.RawMessage(`{"decision":"deny","note":"no"}`)),
				server.SignalWorkflow(ctx, id, "", contract.VerbDecide, json.RawMessage(`{"decision":"allow"}`))) // comes second
		},
		contract.EscalationResult{Decision: contract.Decision{Decision: contract.Deny, Note: "no"}, By: contract.ByPerson},
	},
	"escalation_by_deadline": {
		func(context.Context, client.Client, string) error { return nil },
		contract.EscalationResult{Decision: contract.Decision{Decision: contract.Deny}, By: contract.ByDeadline},
	},
	"escalation_cancelled": {
		func(ctx context.Context, server client.Client, id string) error {
			return server.CancelWorkflow(ctx, id, "")
		},
		contract.EscalationResult{Decision: contract.Decision{Decision: contract.Deny}, By: contract.ByCancellation},
	},
}

func TestEscalationsOnAServer(t *testing.T) {
	server := devServer(t).Client()
	w := worker.New(server, contract.EscalationQueue, worker.Options{})
	w.RegisterWorkflow(Escalation)
	w.RegisterActivityWithOptions(func(context.Context, contract.RecordDecisionInput) (contract.RecordDecisionResult, error) {
		return contract.RecordDecisionResult{Seq: 7, Hash: "00"}, nil
	}, name(contract.RecordDecision))
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	for id, way := range decisions {
		t.Run(id, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			in := escalated()
			if way.want.By == contract.ByDeadline {
				in.RemindSeconds, in.DeadlineSeconds = 0.4, 1
			}
			run, err := server.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: contract.EscalationQueue}, contract.Escalation, in)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.QueryWorkflow(ctx, id, "", contract.QueryStatus); err != nil { // it waits
				t.Fatal(err)
			}
			if err := way.decide(ctx, server, id); err != nil {
				t.Fatal(err)
			}
			var got contract.EscalationResult
			if err := run.Get(ctx, &got); err != nil {
				t.Fatal(err)
			}
			want := way.want
			want.At, want.Seq, want.Hash = got.At, 7, "00"
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			capture(t, id, historyOf(t, server, id, run.GetRunID()))
		})
	}
}
