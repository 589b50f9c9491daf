package contract

import (
	"encoding/json"
	"fmt"
	"time"
)

// EscalationQueue is polled by the process that serves the model, for the workflow Escalation and its activity.
const EscalationQueue = "think"

const (
	// Escalation is the workflow that asks a person about one request.
	Escalation = "Escalation"
	// RecordDecision is its activity: the decision goes into the audit log.
	RecordDecision = "RecordDecision"
	// QueryStatus returns an EscalationStatus.
	QueryStatus = "status"
	// VerbDecide is an update and a signal; its argument is a Decision.
	VerbDecide = "decide"
	// MemoOwner is the workflow's memo that tells whose request it is: see serve/escalation.
	MemoOwner = "owner"
)

// EscalationID is the id of the workflow that asks about a request.
func EscalationID(requestID string) string { return "escalation-" + requestID }

// Values of Decision.Decision and EscalationInput.Default.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Values of EscalationResult.By.
const (
	ByPerson       = "person"
	ByDeadline     = "deadline"
	ByCancellation = "cancellation" // of the workflow, by a person; the default holds
)

// EscalationInput is an escalated request, as far as its key's owner shares it. It never holds any of the model's thinking.
type EscalationInput struct {
	RequestID  string    `json:"request_id"`
	Key        string    `json:"key,omitempty"`   // name of the API key
	User       string    `json:"user,omitempty"`  // as the audit log names the user: a pseudonym unless audit.user is plain
	Query      string    `json:"query,omitempty"` // last user message; empty where it is not shared
	Shared     bool      `json:"shared"`          // Query was passed on
	Confidence float64   `json:"confidence"`      // probability of the label ESCALATION
	Model      string    `json:"model"`           // digest
	AskedAt    time.Time `json:"asked_at"`

	RemindSeconds   float64 `json:"remind_seconds,omitempty"` // between two reminders; 0: none
	DeadlineSeconds float64 `json:"deadline_seconds"`         // from the workflow's start; then Default is decided
	Default         string  `json:"default"`                  // allow or deny
}

// Decision is what a person sends.
type Decision struct {
	Decision string `json:"decision"`
	Note     string `json:"note,omitempty"`
}

// DecisionForm shows a valid decision, for pages and error messages.
const DecisionForm = `{"decision": "allow"} or {"decision": "deny", "note": "why"}`

// MaxNote is the greatest length of Decision.Note, in bytes.
const MaxNote = 4096

// ParseDecision reads a person's decision. Unknown fields are refused.
func ParseDecision(raw json.RawMessage) (Decision, error) {
	var d Decision
	if err := parse(raw, &d, "decision", "want "+DecisionForm); err != nil {
		return d, err
	}
	if d.Decision != Allow && d.Decision != Deny {
		return d, fmt.Errorf("decision: %q is neither allow nor deny: want %s", d.Decision, DecisionForm)
	}
	if len(d.Note) > MaxNote {
		return d, fmt.Errorf("decision: the note has %d bytes, and may have %d", len(d.Note), MaxNote)
	}
	return d, nil
}

// RecordDecisionInput is the input of RecordDecision.
type RecordDecisionInput struct {
	RequestID string `json:"request_id"`
	Decision
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// RecordDecisionResult names the record in the audit log.
type RecordDecisionResult struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // hex SHA-256 of its line
}

// EscalationResult is a decision that the audit log holds: the result of the workflow and of the update.
type EscalationResult struct {
	Decision
	By string    `json:"by"`
	At time.Time `json:"at"`
	RecordDecisionResult
}

// EscalationStatus is the result of the status query.
type EscalationStatus struct {
	Decided   *Decision `json:"decided,omitempty"` // nil: a person is waited for
	By        string    `json:"by,omitempty"`
	Recorded  bool      `json:"recorded"` // the audit log holds the decision
	Reminders int       `json:"reminders"`
	Deadline  time.Time `json:"deadline"`
}
