package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"so8t/engine/phi3"
)

func openScheduler(t *testing.T, m *Model, o SchedulerOptions) *Scheduler {
	t.Helper()
	s, err := m.NewScheduler(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func submit(t *testing.T, s *Scheduler, r Request) RequestID {
	t.Helper()
	id, err := s.Submit(r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func step(t *testing.T, s *Scheduler) []Event {
	t.Helper()
	events, err := s.Step(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// streams collects events: each sequence's tokens as they came, and its end.
type streams struct {
	t      *testing.T
	tokens map[RequestID][]int32
	ended  map[RequestID]*Generation
	scores map[RequestID][]float64
}

func newStreams(t *testing.T) *streams {
	return &streams{t, map[RequestID][]int32{}, map[RequestID]*Generation{}, map[RequestID][]float64{}}
}

// take checks what holds of every stream: nothing comes after the end, and the end repeats what came before.
func (x *streams) take(events []Event) {
	x.t.Helper()
	for _, e := range events {
		if x.ended[e.ID] != nil {
			x.t.Errorf("request %d: %+v came after the end", e.ID, e)
		}
		if e.Scores != nil {
			x.scores[e.ID] = e.Scores
			continue
		}
		if e.End == nil {
			x.tokens[e.ID] = append(x.tokens[e.ID], e.Token)
			continue
		}
		if x.ended[e.ID] = e.End; !slices.Equal(x.tokens[e.ID], e.End.Tokens) {
			x.t.Errorf("request %d: %v were streamed, %v is the answer", e.ID, x.tokens[e.ID], e.End.Tokens)
		}
	}
}

// schedulerModel takes sequences of 250 tokens, in float32: there the company of other sequences leaves no trace.
func schedulerModel(t *testing.T) (*Model, oracleSamples) {
	o := variant(t, "gqa")
	options := o.gated()
	options.MaxLength = 250
	return o.open(t, options), o.samples
}

// alone is a request's answer with nobody else there.
func alone(t *testing.T, m *Model, r Request) []int32 {
	t.Helper()
	s := openScheduler(t, m, SchedulerOptions{Slots: 1})
	x, id := newStreams(t), submit(t, s, r)
	for s.Len() > 0 {
		x.take(step(t, s))
	}
	return x.ended[id].Tokens
}

// TestSubmitInMidDecoding: whenever a request comes, and however the others sample, its tokens are those it gets alone.
// Also where the pool is too small for all, and sequences are put back.
func TestSubmitInMidDecoding(t *testing.T) {
	m, samples := schedulerModel(t)
	var requests []Request
	for i := range 7 {
		ids := samples[i%len(samples)].InputIDs
		r := Request{Prompt: ids[:min(len(ids), 3+6*i)], MaxNewTokens: 100 + 20*i, EOS: []int32{7}, Seed: uint64(i), Index: 3 * i}
		if i%4 > 0 { // greedy, or three ways to sample, of which two at a time have a number in common
			r.Temperature, r.TopP = []float64{0, 1, 1, 0.5}[i%4], []float64{0, 0.3, 0.95, 0.95}[i%4]
		}
		requests = append(requests, r)
	}
	var want [][]int32
	for _, r := range requests {
		want = append(want, alone(t, m, r))
	}
	for _, pages := range []int{0, phi3.Pages(250) + 1} {
		s := openScheduler(t, m, SchedulerOptions{Slots: 4, pages: pages})
		x, ids := newStreams(t), []RequestID{}
		for i := 0; s.Len() > 0 || i < len(requests); i++ {
			if i < len(requests) {
				ids = append(ids, submit(t, s, requests[i]))
			}
			for range 11 {
				x.take(step(t, s))
			}
		}
		restarts := 0
		for i, id := range ids {
			if !slices.Equal(x.tokens[id], want[i]) {
				t.Errorf("%d pages, request %d: %v, alone %v", pages, i, x.tokens[id], want[i])
			}
			restarts += x.ended[id].Restarts
		}
		if (restarts > 0) != (pages > 0) {
			t.Errorf("%d pages: %d restarts", pages, restarts)
		}
		if free := s.cache.Vacant(); free != s.pages {
			t.Errorf("%d of %d pages came back", free, s.pages)
		}
	}
}

// TestSubmitWhileStepping: requests may come from other goroutines while a step runs.
func TestSubmitWhileStepping(t *testing.T) {
	m, samples := schedulerModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 3})
	const requests = 12
	submitted := make(chan error)
	go func() {
		defer close(submitted)
		for i := range requests {
			if _, err := s.Submit(Request{Prompt: samples[0].InputIDs[:1+i], MaxNewTokens: 5, EOS: []int32{}}); err != nil {
				submitted <- err
			}
		}
	}()
	x, open := newStreams(t), true
	for open || s.Len() > 0 {
		x.take(step(t, s))
		select {
		case err, more := <-submitted:
			if open = more; err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	for id, g := range x.ended {
		if len(g.Tokens) != 5 {
			t.Errorf("request %d: %v", id, g.Tokens)
		}
	}
	if len(x.ended) != requests {
		t.Errorf("%d of %d requests ended", len(x.ended), requests)
	}
}

// TestCancel: a request that waits and one that runs are dropped without an event, and their place is free; the others'
// tokens stay as they are.
func TestCancel(t *testing.T) {
	m, samples := schedulerModel(t)
	r := Request{Prompt: samples[0].InputIDs[:9], MaxNewTokens: 200, EOS: []int32{}}
	want := alone(t, m, r)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2})
	x := newStreams(t)
	stays, runs, waits := submit(t, s, r), submit(t, s, r), submit(t, s, r)
	for range 80 {
		x.take(step(t, s))
	}
	if len(x.tokens[runs]) == 0 || len(x.tokens[waits]) > 0 {
		t.Fatalf("before: %d and %d tokens", len(x.tokens[runs]), len(x.tokens[waits]))
	}
	before, vacant := len(x.tokens[runs]), s.cache.Vacant()
	s.Cancel(runs)
	s.Cancel(waits)
	s.Cancel(waits) // again: nothing happens
	x.take(step(t, s))
	if freed := s.cache.Vacant() - vacant; freed != phi3.Pages(9+80) {
		t.Errorf("%d pages came back", freed)
	}
	if s.Len() != 1 {
		t.Errorf("%d requests are open", s.Len())
	}
	late := submit(t, s, r) // takes the place
	for s.Len() > 0 {
		x.take(step(t, s))
	}
	if len(x.tokens[runs]) != before || x.ended[runs] != nil || len(x.tokens[waits]) > 0 || x.ended[waits] != nil {
		t.Error("a cancelled request had events")
	}
	for _, id := range []RequestID{stays, late} {
		if !slices.Equal(x.tokens[id], want) {
			t.Errorf("request %d: %v, alone %v", id, x.tokens[id], want)
		}
	}
	s.Cancel(stays) // has ended: nothing happens
	if free := s.cache.Vacant(); free != s.pages || s.Len() != 0 {
		t.Errorf("%d of %d pages came back", free, s.pages)
	}
}

// TestSubmitErrors: a request that cannot be served is refused alone, and the others go on.
func TestSubmitErrors(t *testing.T) {
	m, samples := schedulerModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2, MaxLength: 60})
	good := Request{Prompt: samples[0].InputIDs[:9], MaxNewTokens: 200, EOS: []int32{}}
	id := submit(t, s, good)
	x := newStreams(t)
	x.take(step(t, s))
	for want, change := range map[string]func(*Request){
		"60 tokens":             func(r *Request) { r.Prompt = make([]int32, 60) },
		"0 tokens":              func(r *Request) { r.Prompt = nil },
		"outside the model's v": func(r *Request) { r.Prompt = []int32{5, 1 << 20} },
		"max_new_tokens 0":      func(r *Request) { r.MaxNewTokens = 0 },
		"temperature -1":        func(r *Request) { r.Temperature = -1 },
		"top_p 1.5":             func(r *Request) { r.TopP = 1.5 },
	} {
		r := good
		change(&r)
		if _, err := s.Submit(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
		x.take(step(t, s))
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if events, err := s.Step(cancelled); !errors.Is(err, context.Canceled) || len(events) > 0 {
		t.Errorf("a cancelled step: %v, %v", events, err)
	}
	for s.Len() > 0 {
		x.take(step(t, s))
	}
	if n := len(x.ended[id].Tokens); n != 60-9 || x.ended[id].Finished {
		t.Errorf("the answer is bounded by MaxLength to %d tokens: %+v", 60-9, x.ended[id])
	}
	for _, o := range []SchedulerOptions{{Slots: -1}, {MaxLength: 251}, {MaxLength: -1}} {
		if s, err := m.NewScheduler(ctx, o); err == nil {
			t.Errorf("%+v was accepted", o)
			s.Close()
		}
	}
}

// TestStreams: events come in order of time, and other work on the model between two steps changes nothing.
func TestStreams(t *testing.T) {
	m, samples := schedulerModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 2})
	stopAfter := func(n int) func([]int32) bool { return func(ids []int32) bool { return len(ids) == n } }
	a := submit(t, s, Request{Prompt: samples[0].InputIDs[:9], MaxNewTokens: 9, EOS: []int32{}, Stop: stopAfter(3)})
	b := submit(t, s, Request{Prompt: samples[1].InputIDs[:5], MaxNewTokens: 4, EOS: []int32{}})
	c := submit(t, s, Request{Prompt: samples[1].InputIDs[:7], MaxNewTokens: 1, EOS: []int32{}})
	var order []string
	x := newStreams(t)
	for s.Len() > 0 {
		events := step(t, s)
		x.take(events)
		for _, e := range events {
			order = append(order, fmt.Sprint(e.ID, e.End != nil))
		}
		if _, err := m.Score(ctx, [][]int32{samples[0].InputIDs[:9]}, [][]int32{{5, 6}}); err != nil {
			t.Fatal(err)
		}
	}
	token, end := func(id RequestID) string { return fmt.Sprint(id, false) }, func(id RequestID) string { return fmt.Sprint(id, true) }
	want := []string{token(a), token(b), token(a), token(b), // a pass over the prompts, and one more
		token(a), end(a), token(b), // the next step; a is stopped
		token(c), end(c), token(b), end(b)} // c takes a's slot
	if !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
	if !x.ended[a].Finished || x.ended[b].Finished || x.ended[a].Latency <= 0 {
		t.Errorf("%+v, %+v", x.ended[a], x.ended[b])
	}
}
