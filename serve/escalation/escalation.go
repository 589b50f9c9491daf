// Package escalation passes escalated requests to people, through Temporal. A case is on disk before its answer leaves, and
// becomes a workflow once the server can be reached; without a server, serving goes on.
//
// The outbox holds one file for each case that is not known to the server yet. What leaves it, for the server's history, is
// what the owner of the API key shares: the last user message or nothing, and no byte of the model's thinking, which a case
// does not have. With a Codec, whatever the server stores of a case is encrypted.
package escalation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"

	"so8t/contract"
	"so8t/disk"
	"so8t/serve/audit"
	"so8t/serve/guard"
)

// Recorder is *audit.Log.
type Recorder interface {
	Decided(ctx context.Context, d audit.Decided) (audit.Position, error)
}

// Values that Options.Share returns.
const (
	ShareQuery = "query" // the last user message
	ShareNone  = "none"
)

// Options of a Desk.
type Options struct {
	Outbox   string         // folder
	Temporal client.Options // address, namespace, TLS; the data converter is the desk's
	Codec    *Codec         // nil: payloads are in clear
	// Workflows registers the workflow Escalation with the desk's worker.
	Workflows func(worker.WorkflowRegistry)

	Recorder Recorder
	AuditDir string // the recorder's folder
	// Share says what of a key's requests may be passed on: ShareQuery or ShareNone.
	Share func(key string) string
	// User is how the audit log names a user: by a pseudonym unless audit.user is plain.
	User func(key, user string) string

	RemindEvery time.Duration // 0: never
	Deadline    time.Duration // from the workflow's start
	Default     string        // decided at the deadline: contract.Allow or contract.Deny
	Log         *slog.Logger
}

// maxReminders keeps a workflow's history short: a reminder takes five events.
const maxReminders = 500

func (o *Options) check() error {
	switch {
	case o.Outbox == "":
		return errors.New("no folder for the outbox")
	case o.Deadline <= 0:
		return errors.New("the deadline must lie in the future")
	case o.RemindEvery < 0:
		return errors.New("the time between reminders is negative")
	case o.RemindEvery > 0 && o.Deadline/o.RemindEvery > maxReminders:
		return fmt.Errorf("a reminder every %s makes more than %d before the deadline of %s", o.RemindEvery, maxReminders, o.Deadline)
	case o.Default != contract.Allow && o.Default != contract.Deny:
		return fmt.Errorf("default is %q: want allow or deny", o.Default)
	}
	return nil
}

// Desk takes cases in, starts their workflows, records what was decided, and tells clients. It implements guard.Escalator.
type Desk struct {
	options   Options
	converter converter.DataConverter
	outbox    *outbox
	queued    chan struct{}                 // there is a new case
	temporal  atomic.Pointer[client.Client] // nil until the server has answered once
	recording sync.Mutex                    // an attempt sees what the one before it wrote
}

// New opens the outbox. Cases that an earlier process left there are started by Run.
func New(o Options) (*Desk, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("escalation: %w", err)
	}
	if o.Codec == nil {
		o.Codec = &Codec{}
	}
	d := &Desk{options: o, converter: o.Codec.dataConverter(), queued: make(chan struct{}, 1)}
	d.options.Temporal.DataConverter = d.converter
	var err error
	if d.outbox, err = openOutbox(o.Outbox, d.converter); err != nil {
		return nil, fmt.Errorf("escalation: %w", err)
	}
	return d, nil
}

// maxQuery is the most of a query that is passed on, in bytes: the server refuses payloads of 2 MiB.
const maxQuery = 32 << 10

// Escalate writes a case durably and returns the id of the workflow that will ask about it.
func (d *Desk) Escalate(_ context.Context, c guard.Case) (string, error) {
	id := contract.EscalationID(c.RequestID)
	if !idForm.MatchString(id) {
		return "", errors.New("escalation: the request's id is not one of this server's")
	}
	in := contract.EscalationInput{
		RequestID: c.RequestID, Key: c.Key, User: d.options.User(c.Key, c.User), Confidence: c.Confidence, Model: c.Model, AskedAt: c.Time.UTC(),
		RemindSeconds: d.options.RemindEvery.Seconds(), DeadlineSeconds: d.options.Deadline.Seconds(), Default: d.options.Default,
	}
	if d.options.Share(c.Key) == ShareQuery {
		in.Query, in.Shared = shorten(c.Query), true
	}
	if err := d.outbox.put(id, in); err != nil {
		return "", fmt.Errorf("escalation: %w", err)
	}
	disk.Crash("escalation.queued")
	select {
	case d.queued <- struct{}{}:
	default: // the starter has not looked since the case before this one
	}
	return id, nil
}

// idForm is that of an escalation's id. It names files: nothing else may pass.
var idForm = regexp.MustCompile(`^escalation-req_[A-Za-z0-9_-]{1,100}$`)

// shorten cuts a long text between two characters.
func shorten(text string) string {
	if len(text) <= maxQuery {
		return strings.ToValidUTF8(text, "�")
	}
	cut := maxQuery
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strings.ToValidUTF8(text[:cut], "�") + fmt.Sprintf("\n… (%d of %d bytes)", cut, len(text))
}
