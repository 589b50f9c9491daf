package servetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"so8t/serve/audit"
	"so8t/serve/guard"
)

// Auditor keeps records in memory. It implements guard.Auditor.
type Auditor struct {
	Hold      chan struct{} // not nil: Answer returns when it is closed
	AnswerErr error
	DoneErr   error

	mu      sync.Mutex
	answers []audit.Answer
	dones   []audit.Done
	aborted []audit.Aborted
}

// Answer returns a hash made of the request's id and the reasoning.
func (a *Auditor) Answer(ctx context.Context, record audit.Answer) (string, error) {
	if a.Hold != nil {
		<-a.Hold
	}
	if a.AnswerErr != nil {
		return "", a.AnswerErr
	}
	hash := sha256.Sum256(append([]byte(record.ID), record.Reasoning...))
	record.Reasoning, record.Prompt = slices.Clone(record.Reasoning), slices.Clone(record.Prompt) // the guard's own memory
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = append(a.answers, record)
	return "hmac:" + hex.EncodeToString(hash[:]), nil
}

func (a *Auditor) Done(ctx context.Context, record audit.Done) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dones = append(a.dones, record)
	return a.DoneErr
}

// Answers returns the records so far.
func (a *Auditor) Answers() []audit.Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.answers)
}

// Dones returns the records of ends so far.
func (a *Auditor) Dones() []audit.Done {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.dones)
}

func (a *Auditor) Aborted(ctx context.Context, record audit.Aborted) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	record.Prompt = slices.Clone(record.Prompt)
	a.aborted = append(a.aborted, record)
	return a.DoneErr
}

// Abortions returns the records of requests that came to no answer.
func (a *Auditor) Abortions() []audit.Aborted {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.aborted)
}

// Escalator keeps cases in memory. It implements guard.Escalator.
type Escalator struct {
	Err error

	mu    sync.Mutex
	cases []guard.Case
}

func (e *Escalator) Escalate(ctx context.Context, c guard.Case) (string, error) {
	if e.Err != nil {
		return "", e.Err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cases = append(e.cases, c)
	return "escalation-" + c.RequestID, nil
}

// Cases returns what was escalated so far.
func (e *Escalator) Cases() []guard.Case {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.cases)
}

// Sink keeps what leaves. It implements guard.Sink.
type Sink struct {
	BeginErr, TextErr error

	mu       sync.Mutex
	verdicts []guard.Verdict
	texts    []string
}

func (s *Sink) Begin(v guard.Verdict) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdicts = append(s.verdicts, v)
	return s.BeginErr
}

func (s *Sink) Text(piece string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, piece)
	return s.TextErr
}

// Verdicts returns each verdict that was begun with: one, of an answer.
func (s *Sink) Verdicts() []guard.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.verdicts)
}

// Joined is all the text that has left.
func (s *Sink) Joined() string { return strings.Join(s.Pieces(), "") }

// Pieces are the texts as they came.
func (s *Sink) Pieces() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.texts)
}
