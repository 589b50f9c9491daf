// Package servetest plays a model and an audit log, for tests of whatever stands above them.
//
//	model := &servetest.Model{Play: func(prompt string) servetest.Output {
//		return servetest.Say(servetest.Answer("ALLOW", "はい。"))
//	}}
//	g := guard.New(servetest.Serve(model), &servetest.Auditor{}, nil, guard.Options{…})
package servetest

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"so8t/engine"
	"so8t/quadruple"
	"so8t/serve/guard"
)

// Canary stands in every thinking that Answer writes: it may be found in nothing that leaves.
const Canary = "CANARY-7f3a91"

// Answer is an output in the quadruple form, with the canary in each part of its thinking.
func Answer(label, final string) string {
	return quadruple.Quadruple{
		Task:   Canary + " 利用者の依頼は公開情報の閲覧である。",
		Safety: quadruple.DecisionLine(label) + "\n" + Canary + " 安全性は規程により判断する。",
		Policy: Canary + " 方針は責任者の規程に従うこととする。",
		Final:  final,
	}.String()
}

// Output is what the model does with one prompt.
type Output struct {
	Pieces     []string      // what it writes, a token each
	Batch      int           // tokens handed over at once; 0: one
	Unfinished bool          // the bound of tokens ends it, not the model
	Scored     string        // the label that scores highest; empty: the written one, or DENY if none is
	Confidence float64       // its probability; 0: 0.97
	Delay      time.Duration // before each token
	Hold       chan struct{} // not nil: nothing comes before it is closed
	BeginErr   error         // of Begin
	NextErr    error         // of Next, behind the pieces
	ScoreErr   error
	ScoreDelay time.Duration // not cut short by its context
	Panic      any           // of Next, behind the pieces
	ScorePanic any
}

// Say is an output of so many pieces that the model ends itself.
func Say(pieces ...string) Output { return Output{Pieces: pieces} }

// Characters is an output by characters.
func Characters(text string) Output { return Output{Pieces: strings.Split(text, "")} }

// Asked is what a Model was asked.
type Asked struct {
	Prompt  string
	Request engine.Request
}

// Scored is what a Model was asked to score.
type Scored struct {
	Context       string    // behind the prompt
	Continuations [4]string // in the order of quadruple.Labels
}

// Model plays outputs. It implements guard.Model.
type Model struct {
	Play   func(prompt string) Output // prompt as the template has rendered it
	Name   string                     // digest; empty: one of zeros
	Length int                        // MaxLength; 0: 1 << 20

	tokenizer Tokenizer
	mu        sync.Mutex
	asked     []Asked
	scored    []Scored
	open      int
}

func (m *Model) Digest() string {
	if m.Name != "" {
		return m.Name
	}
	return "sha256:" + strings.Repeat("0", 64)
}

func (m *Model) Tokenizer() guard.Tokenizer { return &m.tokenizer }

func (m *Model) MaxLength() int {
	if m.Length != 0 {
		return m.Length
	}
	return 1 << 20
}

// Asked returns what was asked so far.
func (m *Model) Asked() []Asked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Asked(nil), m.asked...)
}

// Scored returns what was to be scored so far.
func (m *Model) Scored() []Scored {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Scored(nil), m.scored...)
}

// Open is the number of sequences that have begun and are not closed.
func (m *Model) Open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

func (m *Model) Begin(ctx context.Context, r engine.Request) (guard.Sequence, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	prompt := m.tokenizer.Decode(r.Prompt, false)
	s := &sequence{model: m, out: m.Play(prompt), bound: r.MaxNewTokens}
	if s.out.BeginErr != nil {
		return nil, s.out.BeginErr
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, Asked{prompt, r})
	m.open++
	return s, nil
}

// sequence plays one output.
type sequence struct {
	model *Model
	out   Output
	bound int // of tokens
	at    int // pieces played

	mu      sync.Mutex
	scoring int
	closed  bool
}

// use panics where a caller does what Sequence forbids.
func (s *sequence) use(scores int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		panic("a sequence is used after Close")
	}
	s.scoring += scores
}

func (s *sequence) Next(ctx context.Context) (tokens []int32, ended, finished bool, err error) {
	s.use(0)
	if s.out.Hold != nil {
		select {
		case <-s.out.Hold:
		case <-ctx.Done():
			return nil, false, false, ctx.Err()
		}
	}
	for range max(1, s.out.Batch) {
		if s.out.Delay > 0 && s.at < len(s.out.Pieces) {
			select {
			case <-time.After(s.out.Delay):
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, false, false, err
		}
		switch {
		case s.at == s.bound:
			return tokens, true, false, nil
		case s.at < len(s.out.Pieces):
			tokens = append(tokens, s.model.tokenizer.piece(s.out.Pieces[s.at]))
			s.at++
		case len(tokens) > 0:
			return tokens, false, false, nil
		case s.out.Panic != nil:
			panic(s.out.Panic)
		case s.out.NextErr != nil:
			return nil, false, false, s.out.NextErr
		default:
			return nil, true, !s.out.Unfinished, nil
		}
	}
	return tokens, false, false, nil
}

func (s *sequence) Score(ctx context.Context, context []int32, continuations [][]int32) ([]float64, error) {
	s.use(1)
	defer s.use(-1)
	time.Sleep(s.out.ScoreDelay)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked := Scored{Context: s.model.tokenizer.Decode(context, false)}
	for i, c := range continuations {
		if i < len(asked.Continuations) {
			asked.Continuations[i] = s.model.tokenizer.Decode(c, false)
		}
	}
	s.model.mu.Lock()
	s.model.scored = append(s.model.scored, asked)
	s.model.mu.Unlock()
	if s.out.ScorePanic != nil {
		panic(s.out.ScorePanic)
	}
	if s.out.ScoreErr != nil {
		return nil, s.out.ScoreErr
	}
	if len(continuations) != len(quadruple.Labels) {
		return nil, errors.New("not four continuations")
	}
	return s.out.scores(), nil
}

func (o Output) scores() []float64 {
	label, confidence := o.Scored, o.Confidence
	if label == "" {
		label = quadruple.Written(strings.Join(o.Pieces, ""))
	}
	if label == "" {
		label = quadruple.Labels[quadruple.Deny]
	}
	if confidence == 0 {
		confidence = 0.97
	}
	scores := make([]float64, len(quadruple.Labels))
	for i := range scores {
		scores[i] = math.Log((1 - confidence) / 3)
	}
	scores[quadruple.LabelIndex(label)] = math.Log(confidence)
	return scores
}

// Close panics while a score is under way.
func (s *sequence) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scoring > 0 {
		panic("a sequence is closed while it is scored")
	}
	if !s.closed {
		s.closed = true
		s.model.mu.Lock()
		defer s.model.mu.Unlock()
		s.model.open--
	}
}

// Serve is a guard.Models of one model that never changes.
func Serve(m guard.Model) guard.Models { return only{m} }

type only struct{ model guard.Model }

func (o only) Acquire() (guard.Model, func(), error) {
	if o.model == nil {
		return nil, nil, guard.ErrLoading
	}
	return o.model, func() {}, nil
}
