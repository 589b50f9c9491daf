package escalation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"so8t/contract"
)

// Status is what a client is told.
type Status struct {
	ID        string `json:"id"`
	RequestID string `json:"request_id"`
	Status    string `json:"status"` // Queued, Pending, Allowed, Denied, Abandoned
	Decided   string `json:"decided_at,omitempty"`
	By        string `json:"decided_by,omitempty"` // person, deadline, cancellation
	Note      string `json:"note,omitempty"`
}

// Values of Status.Status.
const (
	Queued    = "queued"    // the Temporal server does not know of it yet
	Pending   = "pending"   // a person is asked, or the decision is not in the audit log yet
	Allowed   = "allowed"   // and the audit log says so
	Denied    = "denied"    // and the audit log says so
	Abandoned = "abandoned" // somebody terminated the workflow: nothing was decided
)

// ErrUnknown says that there is no such escalation of that key, or that the server has forgotten it: a namespace keeps ended
// workflows for its retention period.
var ErrUnknown = errors.New("no such escalation")

// ErrUnavailable says that the Temporal server cannot be asked.
var ErrUnavailable = errors.New("the state of escalations is not known at present")

// Status returns what became of an escalation of the key's own requests, within seconds. Errors are ErrUnknown or
// ErrUnavailable.
func (d *Desk) Status(ctx context.Context, key, id string) (Status, error) {
	if !idForm.MatchString(id) {
		return Status{}, ErrUnknown
	}
	s := Status{ID: id, RequestID: strings.TrimPrefix(id, contract.EscalationID("")), Status: Queued}
	in, err := d.outbox.get(id)
	switch {
	case err == nil && in.Key != key:
		return Status{}, ErrUnknown
	case err == nil:
		return s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return Status{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	temporal := d.temporal.Load()
	if temporal == nil {
		return Status{}, ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := d.ask(ctx, *temporal, key, &s); errors.Is(err, ErrUnknown) {
		return Status{}, err
	} else if err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return s, nil
}

// ask completes s with what the server knows, without the help of a worker.
func (d *Desk) ask(ctx context.Context, temporal client.Client, key string, s *Status) error {
	answer, err := temporal.DescribeWorkflowExecution(ctx, s.ID, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return ErrUnknown
	} else if err != nil {
		return err
	}
	info := answer.GetWorkflowExecutionInfo()
	var owner string
	if err := d.converter.FromPayload(info.GetMemo().GetFields()[contract.MemoOwner], &owner); err != nil {
		return err
	}
	if owner != key || info.GetType().GetName() != contract.Escalation {
		return ErrUnknown
	}
	switch info.GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		s.Status = Pending
		return nil
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
	default:
		s.Status = Abandoned
		return nil
	}
	var result contract.EscalationResult
	if err := temporal.GetWorkflow(ctx, s.ID, info.GetExecution().GetRunId()).Get(ctx, &result); err != nil {
		return err
	}
	s.Status = map[string]string{contract.Allow: Allowed, contract.Deny: Denied}[result.Decision.Decision]
	s.Decided, s.By, s.Note = result.At.UTC().Format(time.RFC3339), result.By, result.Note
	return nil
}
