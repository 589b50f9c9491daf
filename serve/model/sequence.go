package model

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"so8t/engine"
	"so8t/serve/guard"
	"so8t/serve/panics"
)

// sequence is an answer that is being generated, and the mailbox of its tokens. It holds at most MaxNewTokens.
type sequence struct {
	model  *Model
	id     engine.RequestID
	prompt []int32
	detach func() bool   // from the context of Begin
	more   chan struct{} // one slot: there is something to take
	unread bool          // its reader is to be woken; guarded by the model's mu

	mu       sync.Mutex
	tokens   []int32
	ended    bool
	finished bool
	err      error
}

// Begin queues a prompt. Without r.EOS the sequence ends with the tokenizer's end tokens, as in evaluation.
func (m *Model) Begin(ctx context.Context, r engine.Request) (guard.Sequence, error) {
	if len(r.Prompt) >= m.options.MaxLength {
		return nil, &guard.Error{Kind: guard.Invalid, Code: "context_length_exceeded",
			Message: fmt.Sprintf("the conversation has %d tokens; with the answer there may be %d", len(r.Prompt), m.options.MaxLength)}
	}
	if r.EOS == nil {
		r.EOS = m.ends
	}
	s := &sequence{model: m, prompt: r.Prompt, more: make(chan struct{}, 1)}
	if err := m.submit(s, r); err != nil {
		return nil, err
	}
	s.detach = context.AfterFunc(ctx, func() {
		defer panics.Caught(m.fail)
		s.drop(cancelled())
	})
	return s, nil
}

// submit queues the request. It holds mu throughout, so that no event of the sequence comes before it is known.
func (m *Model) submit(s *sequence, r engine.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return failed()
	}
	if len(m.sequences) >= m.options.Slots+m.options.Queue {
		return &guard.Error{Kind: guard.Busy, Code: "queue_full", Message: fmt.Sprintf("%d requests are waiting already", m.options.Queue)}
	}
	id, err := m.scheduler.Submit(r)
	if err != nil { // about a token or a number of the request
		return &guard.Error{Kind: guard.Invalid, Code: "invalid_request", Message: "the model cannot take this request"}
	}
	s.id = id
	m.sequences[id] = s
	m.begun()
	return nil
}

// Next waits for more tokens, and returns all that have come.
func (s *sequence) Next(ctx context.Context) (tokens []int32, ended, finished bool, err error) {
	for {
		s.mu.Lock()
		tokens, ended, finished, err = s.tokens, s.ended, s.finished, s.err
		s.tokens = nil
		s.mu.Unlock()
		if len(tokens) > 0 || ended {
			return tokens, ended, finished, err
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil, false, false, cancelled()
		}
	}
}

// Close drops the sequence if it has not ended: its slot is free with the next step.
func (s *sequence) Close() {
	s.detach()
	s.drop(cancelled())
}

// drop ends the sequence from this side.
func (s *sequence) drop(err error) {
	m := s.model
	m.mu.Lock()
	known := m.sequences[s.id] == s
	delete(m.sequences, s.id)
	if known {
		m.scheduler.Cancel(s.id)
	}
	m.mu.Unlock()
	s.end(false, err)
}

// put adds a token; round wakes the reader.
func (s *sequence) put(token int32) {
	s.mu.Lock()
	s.tokens = append(s.tokens, token)
	s.mu.Unlock()
}

// end is the last thing that happens to a sequence: the first end counts.
func (s *sequence) end(finished bool, err error) {
	s.mu.Lock()
	if !s.ended {
		s.ended, s.finished, s.err = true, finished, err
	}
	s.mu.Unlock()
	s.tell()
}

func (s *sequence) tell() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// probe waits for scores.
type probe struct {
	done   chan struct{}
	scores []float64
	err    error
}

// answer is called once, with the model's mu held.
func (p *probe) answer(scores []float64, err error) {
	p.scores, p.err = scores, err
	close(p.done)
}

// Score returns the log-probability of each continuation behind the prompt and context, in nats.
func (s *sequence) Score(ctx context.Context, behind []int32, continuations [][]int32) ([]float64, error) {
	m, p := s.model, &probe{done: make(chan struct{})}
	id, err := m.ask(p, engine.Probe{Of: s.id, Prompt: slices.Concat(s.prompt, behind), Continuations: continuations})
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		return p.scores, p.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.probes[id] == p {
		delete(m.probes, id)
		m.scheduler.Cancel(id)
	}
	return nil, cancelled()
}

func (m *Model) ask(p *probe, what engine.Probe) (engine.RequestID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return 0, failed()
	}
	id, err := m.scheduler.Score(what)
	if err != nil {
		return 0, &guard.Error{Kind: guard.Failed, Code: "score", Message: "the answer's label cannot be scored"}
	}
	m.probes[id] = p
	m.begun()
	return id, nil
}

func failed() error {
	return &guard.Error{Kind: guard.Failed, Code: "model_failed", Message: "the model has failed"}
}

func cancelled() error {
	return &guard.Error{Kind: guard.Cancelled, Code: "cancelled", Message: "the request was cancelled or its deadline has passed"}
}
