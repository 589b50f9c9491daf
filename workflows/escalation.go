package workflows

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// escalation is the state of one Escalation.
type escalation struct {
	in       contract.EscalationInput
	deadline time.Time

	decision  *contract.Decision // nil until somebody decides; the first decision holds
	by        string
	at        time.Time
	result    *contract.EscalationResult // nil until the audit log has the decision
	reminders int
	ignored   string // why the last signal was ignored
}

// Escalation waits until a person decides about a request, or its deadline does, and has the decision recorded in the audit
// log.
func Escalation(ctx workflow.Context, in contract.EscalationInput) (*contract.EscalationResult, error) {
	e := &escalation{in: in, deadline: workflow.Now(ctx).Add(seconds(in.DeadlineSeconds))}
	if err := e.listen(ctx); err != nil {
		return nil, err
	}
	e.page(ctx)
	e.await(ctx)
	ctx, _ = workflow.NewDisconnectedContext(ctx) // a decision is recorded even if the workflow is cancelled meanwhile
	if err := e.record(ctx); err != nil {
		return nil, err
	}
	return e.result, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// listen registers the query, the update and the signal.
func (e *escalation) listen(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, contract.QueryStatus, func() (contract.EscalationStatus, error) { return e.status(), nil },
		workflow.QueryHandlerOptions{Description: "What was decided, by whom, and until when a decision is waited for"})
	if err != nil {
		return err
	}
	const description = "Decide about the request: " + contract.DecisionForm
	err = workflow.SetUpdateHandlerWithOptions(ctx, contract.VerbDecide,
		func(ctx workflow.Context, raw json.RawMessage) (*contract.EscalationResult, error) {
			d, err := contract.ParseDecision(raw)
			if err != nil {
				return nil, err
			}
			e.decide(ctx, d, contract.ByPerson)
			ctx, _ = workflow.NewDisconnectedContext(ctx)
			err = workflow.Await(ctx, func() bool { return e.result != nil })
			return e.result, err
		},
		workflow.UpdateHandlerOptions{
			Description: description,
			Validator: func(_ workflow.Context, raw json.RawMessage) error {
				_, err := contract.ParseDecision(raw)
				return err
			},
		})
	if err != nil {
		return err
	}
	signals := workflow.GetSignalChannelWithOptions(ctx, contract.VerbDecide, workflow.SignalChannelOptions{Description: description})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var raw json.RawMessage
			signals.Receive(ctx, &raw)
			d, err := contract.ParseDecision(raw)
			if err != nil {
				e.ignored = err.Error()
				e.page(ctx)
				workflow.GetLogger(ctx).Warn("signal ignored: no valid decision") // the error may quote the note
				continue
			}
			e.decide(ctx, d, contract.ByPerson)
		}
	})
	return nil
}

// decide takes the first decision; later ones change nothing.
func (e *escalation) decide(ctx workflow.Context, d contract.Decision, by string) {
	if e.decision != nil {
		return
	}
	e.decision, e.by, e.at, e.ignored = &d, by, workflow.Now(ctx), ""
	e.page(ctx)
}

// await returns once there is a decision: a person's, or the default at the deadline or when the workflow is cancelled.
func (e *escalation) await(ctx workflow.Context) {
	for e.decision == nil {
		wait, summary := e.deadline.Sub(workflow.Now(ctx)), "deadline"
		if every := seconds(e.in.RemindSeconds); every > 0 && every < wait {
			wait, summary = every, fmt.Sprintf("reminder %d", e.reminders+1)
		}
		decided, err := workflow.AwaitWithOptions(ctx,
			workflow.AwaitOptions{Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary}},
			func() bool { return e.decision != nil })
		switch {
		case err != nil:
			e.decide(ctx, contract.Decision{Decision: e.in.Default}, contract.ByCancellation)
		case decided:
		case summary == "deadline":
			e.decide(ctx, contract.Decision{Decision: e.in.Default}, contract.ByDeadline)
		default:
			e.reminders++
			workflow.GetLogger(ctx).Warn("an escalation waits for a decision", "request", e.in.RequestID, "reminder", e.reminders, "waited", e.waited(ctx))
			e.page(ctx)
		}
	}
}

// record has the decision written to the audit log, however long that takes.
func (e *escalation) record(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		Summary:             e.decision.Decision + " into the audit log",
		StartToCloseTimeout: 10 * time.Second, // for a process that was killed while it recorded; a second attempt does no harm
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute},
	})
	result := contract.EscalationResult{Decision: *e.decision, By: e.by, At: e.at}
	in := contract.RecordDecisionInput{RequestID: e.in.RequestID, Decision: *e.decision, By: e.by, At: e.at}
	if err := workflow.ExecuteActivity(ctx, contract.RecordDecision, in).Get(ctx, &result.RecordDecisionResult); err != nil {
		return err
	}
	e.result = &result
	e.page(ctx)
	return nil
}

func (e *escalation) status() contract.EscalationStatus {
	return contract.EscalationStatus{Decided: e.decision, By: e.by, Recorded: e.result != nil, Reminders: e.reminders, Deadline: e.deadline}
}

// page updates the page in the Web UI: first what to do, then what is known of the request.
func (e *escalation) page(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, e.headline(ctx)+"\n\n"+e.facts())
}

func (e *escalation) headline(ctx workflow.Context) string {
	switch {
	case e.result != nil:
		return fmt.Sprintf("**Decided: %s**, by %s at %s. Record %d of the audit log, `%s`.",
			e.decision.Decision, e.by, utc(e.at), e.result.Seq, e.result.Hash)
	case e.decision != nil:
		return fmt.Sprintf("**Decided: %s**, by %s at %s. The audit log does not have it yet.", e.decision.Decision, e.by, utc(e.at))
	}
	text := fmt.Sprintf("**Decide:** send the signal or update `decide` with `{\"decision\": \"allow\"}` or `{\"decision\": \"deny\", \"note\": \"why\"}`. "+
		"Without a decision: **%s** at %s.", e.in.Default, utc(e.deadline))
	if e.ignored != "" {
		text += "\n\n**The last signal was ignored.** " + fence(e.ignored)
	}
	if e.reminders > 0 {
		text += fmt.Sprintf("\n\n**Reminder %d**, after %s.", e.reminders, e.waited(ctx))
	}
	return text
}

func (e *escalation) waited(ctx workflow.Context) string {
	return roughly(workflow.Now(ctx).Sub(e.in.AskedAt).Seconds())
}

// facts describes the request.
func (e *escalation) facts() string {
	var b strings.Builder
	if e.in.Shared {
		b.WriteString("The question:\n" + fence(e.in.Query))
	} else {
		b.WriteString("The question is not shared with this server.\n")
	}
	b.WriteString("\n| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"Label", fmt.Sprintf("ESCALATION, confidence %.2f", e.in.Confidence)},
		{"Asked", utc(e.in.AskedAt)},
		{"User", e.in.User},
		{"API key", e.in.Key},
		{"Request", e.in.RequestID},
		{"Model", e.in.Model},
	} {
		if row[1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], cell(row[1]))
		}
	}
	if e.decision != nil && e.decision.Note != "" {
		b.WriteString("\nNote:\n" + fence(e.decision.Note))
	}
	return b.String()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// cell keeps a value that others chose from being read as Markdown: inside a table, as code.
func cell(text string) string {
	return "`" + strings.NewReplacer("`", "'", "|", "/", "\n", " ", "\r", " ").Replace(text) + "`"
}

// fence shows text that others wrote as it is: in a block of code whose fence is longer than any run of backticks in it.
func fence(text string) string {
	run, longest := 0, 2
	for _, c := range text {
		if run++; c != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	mark := strings.Repeat("`", longest+1)
	return "\n" + mark + "\n" + text + "\n" + mark + "\n"
}
