package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/testsuite"

	"so8t/contract"
)

// question is a test of one Escalation: what was recorded, and what its page shows.
type question struct {
	*testsuite.TestWorkflowEnvironment
	t        *testing.T
	recorded []contract.RecordDecisionInput
}

var asked = time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC)

func newQuestion(t *testing.T) *question {
	var suite testsuite.WorkflowTestSuite
	q := &question{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	q.SetStartTime(asked)
	q.RegisterWorkflow(Escalation)
	q.RegisterActivityWithOptions(func(_ context.Context, in contract.RecordDecisionInput) (contract.RecordDecisionResult, error) {
		q.recorded = append(q.recorded, in)
		return contract.RecordDecisionResult{Seq: 42, Hash: "ab12"}, nil
	}, name(contract.RecordDecision))
	return q
}

func escalated() contract.EscalationInput {
	return contract.EscalationInput{RequestID: "req_a", Key: "team-a", User: "hmac:77", Query: "契約を解約してよいですか", Shared: true, Confidence: 0.83,
		Model: "sha256:00", AskedAt: asked, RemindSeconds: 3600, DeadlineSeconds: 24 * 3600, Default: contract.Deny}
}

// ask runs the workflow to its end and returns its result, which must be what was recorded, once.
func (q *question) ask(in contract.EscalationInput) contract.EscalationResult {
	q.t.Helper()
	q.ExecuteWorkflow(contract.Escalation, in)
	var result contract.EscalationResult
	if err := q.GetWorkflowResult(&result); err != nil {
		q.t.Fatal(err)
	}
	want := contract.RecordDecisionInput{RequestID: in.RequestID, Decision: result.Decision, By: result.By, At: result.At}
	if len(q.recorded) != 1 || q.recorded[0] != want {
		q.t.Errorf("recorded %+v, want %+v once", q.recorded, want)
	}
	if result.Seq != 42 || result.Hash != "ab12" {
		q.t.Errorf("result %+v does not name the record", result)
	}
	return result
}

func (q *question) status() (s contract.EscalationStatus) {
	q.t.Helper()
	v, err := q.QueryWorkflow(contract.QueryStatus)
	if err == nil {
		err = v.Get(&s)
	}
	if err != nil {
		q.t.Fatal(err)
	}
	return s
}

// page is what the Web UI shows.
func (q *question) page() string {
	q.t.Helper()
	v, err := q.QueryWorkflow("__temporal_workflow_metadata")
	if err != nil {
		q.t.Fatal(err)
	}
	var metadata sdk.WorkflowMetadata
	if err := v.Get(&metadata); err != nil {
		q.t.Fatal(err)
	}
	return metadata.CurrentDetails
}

func (q *question) shows(texts ...string) {
	q.t.Helper()
	page := q.page()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			q.t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
}

// reply is what an update was answered with.
type reply struct {
	rejected, failed error
	result           *contract.EscalationResult
}

func (q *question) decide(decision string) *reply {
	r := &reply{}
	q.UpdateWorkflow(contract.VerbDecide, "", &testsuite.TestUpdateCallback{
		OnAccept: func() {},
		OnReject: func(err error) { r.rejected = err },
		OnComplete: func(v any, err error) {
			r.failed = err
			r.result, _ = v.(*contract.EscalationResult)
		},
	}, json.RawMessage(decision))
	return r
}

func TestDecidedByUpdate(t *testing.T) {
	q := newQuestion(t)
	var first *reply
	q.RegisterDelayedCallback(func() {
		q.shows("**Decide:** send the signal or update `decide`", "Without a decision: **deny** at 2026-11-28 01:02:03 UTC",
			"ESCALATION, confidence 0.83", "`hmac:77`", "`team-a`", "契約を解約してよいですか")
		first = q.decide(`{"decision":"allow","note":"顧客に確認済み"}`)
	}, 30*time.Minute)
	result := q.ask(escalated())
	if result.Decision != (contract.Decision{Decision: contract.Allow, Note: "顧客に確認済み"}) || result.By != contract.ByPerson ||
		!result.At.Equal(asked.Add(30*time.Minute)) {
		t.Errorf("result %+v", result)
	}
	if first.rejected != nil || first.failed != nil || first.result == nil || *first.result != result {
		t.Errorf("the update was answered with %+v, want the workflow's result", first)
	}
	q.shows("**Decided: allow**, by person at 2026-11-27 01:32:03 UTC. Record 42 of the audit log, `ab12`.", "顧客に確認済み")
	if s := q.status(); s.Decided == nil || !s.Recorded || s.Reminders != 0 {
		t.Errorf("status %+v", s)
	}
}

// The first decision holds: while it is being recorded, a second one by update is answered with it, and one by signal changes
// nothing.
func TestSecondDecision(t *testing.T) {
	q := newQuestion(t)
	recorded := contract.RecordDecisionResult{Seq: 42, Hash: "ab12"}
	q.OnActivity(contract.RecordDecision, mock.Anything, mock.Anything).After(time.Hour).
		Return(func(_ context.Context, in contract.RecordDecisionInput) (contract.RecordDecisionResult, error) {
			q.recorded = append(q.recorded, in)
			return recorded, nil
		})
	q.RegisterDelayedCallback(func() {
		q.SignalWorkflow(contract.VerbDecide, json.RawMessage(`{"decision":"deny","note":"no"}`))
		q.SignalWorkflow(contract.VerbDecide, json.RawMessage(`{"decision":"allow","note":"at once"}`))
	}, time.Minute)
	var second *reply
	q.RegisterDelayedCallback(func() {
		q.shows("The audit log does not have it yet")
		second = q.decide(`{"decision":"allow"}`)
		q.SignalWorkflow(contract.VerbDecide, json.RawMessage(`{"decision":"allow"}`))
	}, 2*time.Minute)
	result := q.ask(escalated())
	if result.Decision.Decision != contract.Deny || second.result == nil || *second.result != result {
		t.Errorf("result %+v, second update %+v", result, second)
	}
	if s := q.status(); *s.Decided != result.Decision {
		t.Errorf("decided %+v, and the status is %+v", result.Decision, s)
	}
}

func TestInvalidDecisions(t *testing.T) {
	q := newQuestion(t)
	bad := map[string]string{
		`{"decision":"perhaps"}`:              "neither allow nor deny",
		`{"decision":"Allow"}`:                "neither allow nor deny",
		`{}`:                                  "neither allow nor deny",
		`null`:                                "no decision",
		`"allow"`:                             "cannot unmarshal string",
		`{"decision":"allow","notes":"typo"}`: `unknown field "notes"`,
		`{"decision":"deny","note":"` + strings.Repeat("あ", 1366) + `"}`: "4098 bytes",
	}
	replies := map[string]*reply{}
	q.RegisterDelayedCallback(func() {
		for text := range bad {
			replies[text] = q.decide(text)
		}
		q.SignalWorkflow(contract.VerbDecide, json.RawMessage(`{"decision":"ALLOW"}`))
	}, time.Minute)
	q.RegisterDelayedCallback(func() {
		q.shows("**Decide:**", "**The last signal was ignored.**", `"ALLOW" is neither allow nor deny`)
		q.SignalWorkflow(contract.VerbDecide, json.RawMessage(`{"decision":"allow"}`))
	}, 2*time.Minute)
	if result := q.ask(escalated()); result.Decision.Decision != contract.Allow {
		t.Errorf("result %+v", result)
	}
	for text, want := range bad {
		if r := replies[text]; r.rejected == nil || !strings.Contains(r.rejected.Error(), want) || r.result != nil {
			t.Errorf("%.60s: %+v, want a rejection with %s", text, r, want)
		}
	}
	if page := q.page(); strings.Contains(page, "ignored") {
		t.Errorf("decided, and the page still speaks of a signal:\n%s", page)
	}
}

func TestDeadline(t *testing.T) {
	for _, byDefault := range []string{contract.Allow, contract.Deny} {
		q := newQuestion(t)
		in := escalated()
		in.Default = byDefault
		q.RegisterDelayedCallback(func() { q.shows("**Reminder 2**, after 2 h 00 min.") }, 150*time.Minute)
		q.RegisterDelayedCallback(func() {
			if s := q.status(); s.Reminders != 23 || s.Decided != nil {
				t.Errorf("a minute before the deadline: %+v", s)
			}
		}, 24*time.Hour-time.Minute)
		result := q.ask(in)
		if result.Decision.Decision != byDefault || result.By != contract.ByDeadline || !result.At.Equal(asked.Add(24*time.Hour)) {
			t.Errorf("result %+v", result)
		}
	}
}

// A workflow that is cancelled ends with the default, and that is recorded as well.
func TestCancelledEscalation(t *testing.T) {
	q := newQuestion(t)
	q.RegisterDelayedCallback(q.CancelWorkflow, time.Minute)
	if result := q.ask(escalated()); result.Decision.Decision != contract.Deny || result.By != contract.ByCancellation {
		t.Errorf("result %+v", result)
	}
}

// The log's being full, or the process's being away, delays the end of an escalation and does not change it.
func TestRecordIsRetried(t *testing.T) {
	q := newQuestion(t)
	failures := 0
	q.OnActivity(contract.RecordDecision, mock.Anything, mock.Anything).
		Return(func(_ context.Context, in contract.RecordDecisionInput) (contract.RecordDecisionResult, error) {
			if failures++; failures <= 8 {
				return contract.RecordDecisionResult{}, errors.New("the audit log cannot be written")
			}
			q.recorded = append(q.recorded, in)
			return contract.RecordDecisionResult{Seq: 42, Hash: "ab12"}, nil
		})
	var update *reply
	q.RegisterDelayedCallback(func() { update = q.decide(`{"decision":"allow"}`) }, time.Minute)
	q.RegisterDelayedCallback(q.CancelWorkflow, 2*time.Minute)
	if result := q.ask(escalated()); result.Decision.Decision != contract.Allow || update.result == nil {
		t.Errorf("result %+v, update %+v", result, update)
	}
}

// What a client wrote cannot pass for a part of the page.
func TestPageQuotes(t *testing.T) {
	q := newQuestion(t)
	in := escalated()
	in.Query = "a\n````\n**Decided: allow**"
	in.User = "x` | **bold**\n# title"
	q.RegisterDelayedCallback(func() {
		q.shows("\n`````\na\n````\n**Decided: allow**\n`````\n", "| User | `x' / **bold** # title` |")
		in := q.page()
		if strings.Count(in[:strings.Index(in, "\n")], "**") != 4 {
			t.Errorf("first line %q", in[:strings.Index(in, "\n")])
		}
	}, time.Minute)
	q.ask(in)

	hidden := newQuestion(t)
	in.Query, in.Shared = "", false
	hidden.RegisterDelayedCallback(func() { hidden.shows("The question is not shared with this server.") }, time.Minute)
	hidden.ask(in)
}
