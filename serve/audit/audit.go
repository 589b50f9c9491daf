// Package audit is the log that proves what was answered without holding what was thought: hash-chained JSON lines in
// append-only segments, with signed checkpoints. An answer's record is on disk before its first byte leaves.
//
// A folder holds 000001.jsonl, 000002.jsonl … and checkpoints.note. Each line ends in prev, the SHA-256 of the line before
// it (without its line end; 64 zeros before the first), and a CRC-32C of the line up to there. synced is the newest record
// that was on disk when the line was written: what follows a broken line was never acknowledged if no synced reaches it.
// A checkpoint is a note of golang.org/x/mod/sumdb/note that signs a record's number and hash.
package audit

import (
	"context"
	"errors"
	"time"
)

// Answer is what is known of an answer when its thinking is complete. Reasoning and Prompt are hashed with a key and
// never written.
type Answer struct {
	ID         string  // of the request: req_…
	Key        string  // name of the API key; empty without keys
	User       string  // user_id of the request
	Label      string  // one of quadruple.Labels
	Written    string  // the label that the answer states itself, empty if none
	Confidence float64 // probability of the scored label, which Written may have made stricter
	Escalated  bool
	Escalation string // workflow id, empty if none
	End        string // quadruple's end so far: open while the final is being generated, malformed
	Model      string // digest of the model that answered
	Reasoning  []byte // output before <final>, or all of it where there is none
	Prompt     []byte
	Retry      int // x-stainless-retry-count
}

// Aborted is a request that the model had begun and that ended before its answer had a record: nothing of it left.
type Aborted struct {
	ID           string
	Key          string
	User         string
	Model        string
	FinishReason string // cancelled, deadline, error
	PromptTokens int
	Prompt       []byte
	Retry        int
}

// Done ends an answer.
type Done struct {
	ID               string
	FinishReason     string // stop, length, content_filter, cancelled, deadline, error
	End              string // closed, cut, open, malformed
	PromptTokens     int
	CompletionTokens int
}

// Decided is what a person, or the deadline, decided about an escalated request.
type Decided struct {
	ID         string // of the request
	Escalation string // workflow id
	Decision   string // allow, deny
	By         string // person or deadline, as Temporal names the caller's identity
	NoteHash   string
	At         time.Time
}

// Event is anything else worth a record: promotion, model_refused, keys_reloaded. The log writes events of its own: start,
// warning, recovered, rotated, resumed, erased, stop.
type Event struct {
	Kind   string
	Detail map[string]string
}

// Position names a record.
type Position struct {
	Seq  uint64
	Hash string // of its line, hex
}

// ErrUnavailable says that the log cannot be written: nothing may leave.
var ErrUnavailable = errors.New("the audit log cannot be written")

// Values of Options.ReasoningHash and Options.User.
const (
	HMAC   = "hmac"
	SHA256 = "sha256" // of the reasoning: whoever guesses the text can confirm it
	Plain  = "plain"  // user ids as they are: they cannot be erased
)

// Options of a Log.
type Options struct {
	Dir               string
	Keys              *Keys
	ReasoningHash     string // HMAC (also if empty), or SHA256
	User              string // HMAC (also if empty), or Plain
	SegmentBytes      int64  // a segment is closed beyond this size; 0: 64 MiB
	CheckpointRecords int    // a signed checkpoint after so many records; 0: 1000
	CheckpointEvery   time.Duration
	Origin            string            // first line of the signed checkpoints; empty: so8t
	Emit              func(note string) // each signed checkpoint, for a copy outside; may be nil; holds up the log while it runs
}

// Answer writes the record of an answer and returns, once it is on disk, the hash of its reasoning as the record has it.
func (l *Log) Answer(ctx context.Context, a Answer) (reasoningHash string, err error) {
	if l.options.ReasoningHash == SHA256 {
		reasoningHash = plainHash(a.Reasoning)
	} else {
		reasoningHash = l.options.Keys.reasoningHash(a.ID, a.Reasoning)
	}
	_, err = l.append(ctx, "answer", answerRecord{
		ID: a.ID, User: l.User(a.Key, a.User), Key: a.Key, Label: a.Label, Written: a.Written, Confidence: a.Confidence,
		Escalated: a.Escalated, Escalation: a.Escalation, End: a.End, Model: a.Model, Reasoning: reasoningHash,
		Prompt: l.options.Keys.promptHash(a.ID, a.Prompt), Retry: a.Retry,
	})
	if err != nil {
		return "", err
	}
	return reasoningHash, nil
}

// User is how records name a user: by a pseudonym, unless Options.User is Plain.
func (l *Log) User(key, user string) string {
	if l.options.User == Plain || user == "" {
		return user
	}
	return l.users.pseudonym(l.options.Keys.userIndex(key, user))
}

// Done writes the second record of an answer. It returns when that is on disk.
func (l *Log) Done(ctx context.Context, d Done) error {
	_, err := l.append(ctx, "done", doneRecord{d.ID, d.FinishReason, d.End, [2]int{d.PromptTokens, d.CompletionTokens}})
	return err
}

// Aborted writes the only record of a request that came to no answer, and returns once it is on disk.
func (l *Log) Aborted(ctx context.Context, a Aborted) error {
	_, err := l.append(ctx, "aborted", abortedRecord{ID: a.ID, User: l.User(a.Key, a.User), Key: a.Key, FinishReason: a.FinishReason, Model: a.Model,
		Prompt: l.options.Keys.promptHash(a.ID, a.Prompt), Tokens: [2]int{a.PromptTokens, 0}, Retry: a.Retry})
	return err
}

// Decided writes what became of an escalation.
func (l *Log) Decided(ctx context.Context, d Decided) (Position, error) {
	return l.append(ctx, "decided", newDecidedRecord(d))
}

func newDecidedRecord(d Decided) decidedRecord {
	return decidedRecord{d.ID, d.Escalation, d.Decision, d.By, d.NoteHash, stamp(d.At)}
}

// Event writes any other record.
func (l *Log) Event(ctx context.Context, e Event) error {
	_, err := l.append(ctx, e.Kind, eventRecord{e.Detail})
	return err
}
