// Package guard stands between a model and whoever asks it: what it lets through is the text inside <final> and a label,
// never the thinking. Packages above it see nothing else of a model.
//
// An answer goes this way. The model's tokens become text and go through quadruple.Filter. When think-safety is closed, the
// label is scored beside the generation, as the evaluation scores it. When <final> opens, the thinking is complete: label
// and hash are known, the case is passed on where a person must decide, the record goes to disk, and then, not before, the
// sink has the verdict and the text. A malformed answer comes to this point when it ends.
package guard

import (
	"context"
	"sync"
	"time"

	"so8t/decision"
	"so8t/engine"
	"so8t/serve/audit"
	"so8t/tokenizer"
)

// Model continues prompts, several at once. serve/model has the real one; tests play fixed outputs.
type Model interface {
	Digest() string // "sha256:" and 64 hex digits
	Tokenizer() Tokenizer
	MaxLength() int // tokens of prompt and answer together
	// Begin queues a prompt. The sequence ends by itself, by Close, or when ctx ends; its slot is free within a step.
	Begin(ctx context.Context, r engine.Request) (Sequence, error)
}

// Tokenizer is the interface of the model's tokenizer; *tokenizer.Tokenizer implements it.
type Tokenizer interface {
	decision.Tokenizer
	EndTokens() ([]int32, error)
	ControlTokens() ([]string, error)
	// Bytes is what a token adds to a text; of a character that never comes whole they are dropped, not replaced.
	Bytes(id int32) string
}

// Sequence is an answer that is being generated. Its methods are for one goroutine, except that Score may be called beside
// Next.
type Sequence interface {
	// Next waits for more tokens. ended: the sequence is over, and the model ended it itself where finished.
	Next(ctx context.Context) (tokens []int32, ended, finished bool, err error)
	// Score returns the log-probability of each continuation behind the prompt and context, in nats. It may be called while
	// the sequence goes on and after it has ended; what both have in common is not computed again while it goes on.
	Score(ctx context.Context, context []int32, continuations [][]int32) ([]float64, error)
	Close()
}

// Models hands out the model that is current. release must be called when its answer is complete.
type Models interface {
	Acquire() (m Model, release func(), err error) // err: ErrLoading while there is none
}

// Auditor is *audit.Log.
type Auditor interface {
	Answer(ctx context.Context, a audit.Answer) (reasoningHash string, err error)
	Done(ctx context.Context, d audit.Done) error
	Aborted(ctx context.Context, a audit.Aborted) error
}

// Escalator notes, durably, that a person shall decide. The id is the workflow's.
type Escalator interface {
	Escalate(ctx context.Context, c Case) (id string, err error)
}

// Case is an escalated request as its key's owner lets it be passed on. It holds no thinking.
type Case struct {
	RequestID  string
	Key, User  string
	Query      string // last user message
	Confidence float64
	Model      string
	Time       time.Time
}

// Request is one question.
type Request struct {
	ID           string // req_…
	Key, User    string
	Messages     []tokenizer.Message
	MaxNewTokens int // 0: the options' limit
	Temperature  float64
	TopP         float64 // 0: 1
	Seed         uint64
	Stop         []string // matched against visible text alone
	Retry        int
}

// Verdict is what is known before the first visible byte.
type Verdict struct {
	Label         string  // stricter of written and scored
	Confidence    float64 // probability of the scored label
	Escalated     bool
	EscalationID  string // empty if none
	ReasoningHash string
	Model         string // digest
}

// Sink takes what may leave, in order: the verdict once, then text. An error ends the answer.
type Sink interface {
	Begin(v Verdict) error
	Text(piece string) error
}

// Finish reasons, as OpenAI's API names them.
const (
	Stop          = "stop"
	Length        = "length"
	ContentFilter = "content_filter"
)

// Result is a complete answer.
type Result struct {
	Verdict
	Answer           string
	FinishReason     string
	PromptTokens     int
	CompletionTokens int // of the visible answer
	ReasoningTokens  int // generated, and not visible
}

// Fixed is the Options.Refusal by which a DENY or REFUSE always gives the fallback.
const Fixed = "fixed"

// Options of a Guard.
type Options struct {
	MaxNewTokens  int     // the most that a request may ask for
	MinConfidence float64 // below it an answer is escalated
	Refusal       string  // model: a DENY's or REFUSE's own final; fixed: the fallback
	Fallback      string  // what leaves where nothing of the model's text may
	System        string  // put before a conversation that has no system turn; empty: none
	Deadline      time.Duration
}

// Guard answers requests, many at once.
type Guard struct {
	models   Models
	audit    Auditor
	escalate Escalator // nil: nobody
	options  Options

	mu       sync.Mutex
	language *language // of the model that was asked last
}

// New returns a Guard; escalate may be nil.
func New(models Models, a Auditor, escalate Escalator, o Options) *Guard {
	return &Guard{models: models, audit: a, escalate: escalate, options: o}
}

// Answer answers one request. Errors are *Error. The answer's record is in the audit log before sink has anything; once
// there is one, a record of its end follows, whatever becomes of the answer; a request that began and came to none has one
// that says so. What is refused before the model begins has none.
func (g *Guard) Answer(ctx context.Context, r Request, sink Sink) (result Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			result, err = Result{}, caught(value)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if g.options.Deadline > 0 {
		var over context.CancelFunc
		ctx, over = context.WithTimeout(ctx, g.options.Deadline)
		defer over()
	}
	m, release, err := g.models.Acquire()
	if err != nil {
		return Result{}, typed(err, modelFailed)
	}
	defer release()
	l, err := g.languageOf(m)
	if err != nil {
		return Result{}, typed(err, modelFailed)
	}
	p, err := g.check(r, m, l)
	if err != nil {
		return Result{}, err
	}
	verdict := Verdict{Model: m.Digest()}
	sequence, err := m.Begin(ctx, r.request(p, l))
	if err != nil {
		return Result{}, failure(ctx, err, modelFailed)
	}
	a := &answer{guard: g, request: r, language: l, prompt: p, sink: sink, sequence: sequence, cancel: cancel, stop: newStop(r.Stop),
		verdict: verdict}
	return a.run(ctx)
}
