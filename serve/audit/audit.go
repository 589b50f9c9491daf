// Package audit is the log that proves what was answered without holding what was thought: hash-chained JSON lines in
// append-only segments, with signed checkpoints. An answer's record is on disk before its first byte leaves.
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
	Confidence float64 // probability of Label as it was scored
	Escalated  bool
	Escalation string // workflow id, empty if none
	End        string // quadruple's end so far: open while the final is being generated, malformed
	Model      string // digest of the model that answered
	Reasoning  []byte // output before <final>, or all of it where there is none
	Prompt     []byte
	Retry      int // x-stainless-retry-count
}

// Done ends an answer.
type Done struct {
	ID               string
	FinishReason     string // stop, length, content_filter, error, cancelled
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

// Event is anything else worth a record: start, stop, promotion, model_refused, erased, keys_reloaded.
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

// Options of a Log.
type Options struct {
	Dir               string
	Keys              *Keys
	ReasoningHash     string // hmac, or sha256
	User              string // hmac, or plain
	SegmentBytes      int64  // a segment is closed beyond this size; 0: 64 MiB
	CheckpointRecords int    // a signed checkpoint after so many records; 0: 1000
	CheckpointEvery   time.Duration
	Origin            string            // of the signed checkpoints
	Emit              func(note string) // each signed checkpoint, for a copy outside; may be nil
}

// Keys are the secrets of the log, kept outside its folder.
type Keys struct{}

// Log is the only writer of a folder.
type Log struct{}

// Open takes the folder's lock, recovers a torn tail, and appends a start record.
func Open(o Options) (*Log, error) { return nil, errors.New("not built yet") }

// Answer writes the record of an answer and returns, once it is on disk, the hash of its reasoning as the record has it.
func (l *Log) Answer(ctx context.Context, a Answer) (reasoningHash string, err error) {
	return "", ErrUnavailable
}

// Done writes the second record of an answer. It returns when that is on disk.
func (l *Log) Done(ctx context.Context, d Done) error { return ErrUnavailable }

// Decided writes what became of an escalation.
func (l *Log) Decided(ctx context.Context, d Decided) (Position, error) {
	return Position{}, ErrUnavailable
}

// Event writes any other record.
func (l *Log) Event(ctx context.Context, e Event) error { return ErrUnavailable }

// Err is nil while the log can be written.
func (l *Log) Err() error { return nil }

// Close signs a last checkpoint and frees the folder.
func (l *Log) Close() error { return nil }
