package model

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"so8t/device"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/serve/guard"
	"so8t/tokenizer"
)

const base = "../../demo/base"

// open returns the demo's base, in float32: there the company of other sequences leaves no trace.
func open(t *testing.T, o Options) *Model {
	t.Helper()
	o.Path, o.Device, o.Float32 = base, device.Device{Kind: device.CPU}, true
	m, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// prompts renders the first n instructions of the demo's data.
func prompts(t *testing.T, m *Model, n int) (out [][]int32) {
	t.Helper()
	f, err := os.Open("../../demo/data/four_class_demo.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); len(out) < n && lines.Scan(); {
		var r struct{ Instruction, Input string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		text, err := m.Tokenizer().ApplyChatTemplate([]tokenizer.Message{{Role: "user", Content: r.Instruction + r.Input}}, true)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m.Tokenizer().Encode(text))
	}
	return out
}

// read takes a sequence to its end.
func read(ctx context.Context, s guard.Sequence) (tokens []int32, finished bool, err error) {
	for {
		more, ended, finished, err := s.Next(ctx)
		if tokens = append(tokens, more...); err != nil || ended {
			return tokens, finished, err
		}
	}
}

func begin(t *testing.T, m *Model, r engine.Request) guard.Sequence {
	t.Helper()
	s, err := m.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func codeOf(err error) (guard.Kind, string) {
	var e *guard.Error
	if errors.As(err, &e) {
		return e.Kind, e.Code
	}
	return -1, ""
}

// TestAnswersAreThoseOfGenerate: 64 requests at once get, each, the tokens that Generate gives their prompt, and those make
// an answer in the form.
func TestAnswersAreThoseOfGenerate(t *testing.T) {
	m := open(t, Options{Slots: 16, Queue: 64})
	asked := prompts(t, m, 64)
	want, err := m.engine.Generate(t.Context(), asked, engine.GenerateOptions{MaxNewTokens: 200, EOS: m.ends})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, p := range asked {
		all.Go(func() {
			s, err := m.Begin(t.Context(), engine.Request{Prompt: p, MaxNewTokens: 200})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			got, finished, err := read(t.Context(), s)
			if err != nil || finished != want[i].Finished || !slices.Equal(got, want[i].Tokens) {
				t.Errorf("prompt %d: %d tokens, finished %t, %v; Generate gives %d, %t", i, len(got), finished, err, len(want[i].Tokens), want[i].Finished)
			}
			if _, ok := quadruple.Parse(m.Tokenizer().Decode(got, false)); !ok {
				t.Errorf("prompt %d: the answer is not in the form", i)
			}
		})
	}
	all.Wait()
	if len(m.sequences) != 0 || m.scheduler.Len() != 0 {
		t.Errorf("%d sequences are still known, %d in the scheduler", len(m.sequences), m.scheduler.Len())
	}
}

// TestScoreIsThatOfTheEngine: while a sequence runs, and after its end.
func TestScoreIsThatOfTheEngine(t *testing.T) {
	m := open(t, Options{Slots: 4})
	p := prompts(t, m, 1)[0]
	continuations := [][]int32{{5, 9}, {7}, {300, 4, 12}, {1000}}
	s := begin(t, m, engine.Request{Prompt: p, MaxNewTokens: 200})
	behind, _, _, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		got, err := s.Score(t.Context(), behind, continuations)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.engine.Score(t.Context(), [][]int32{slices.Concat(p, behind)}, continuations)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if d := got[i] - want[0][i]; d > 1e-3 || d < -1e-3 || len(got) != len(continuations) {
				t.Errorf("%s: %v, the engine scores %v", when, got, want[0])
			}
		}
	}
	check("while it runs")
	if _, _, err := read(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	check("after its end")
}

// TestQueueIsBounded: slots and queue full, the next is refused; it is taken once one has gone.
func TestQueueIsBounded(t *testing.T) {
	m := open(t, Options{Slots: 2, Queue: 3})
	r := engine.Request{Prompt: prompts(t, m, 1)[0], MaxNewTokens: 400, EOS: []int32{}}
	var taken []guard.Sequence
	for range 5 {
		taken = append(taken, begin(t, m, r))
	}
	_, err := m.Begin(t.Context(), r)
	if kind, code := codeOf(err); kind != guard.Busy || code != "queue_full" {
		t.Errorf("the sixth of five: %v", err)
	}
	taken[4].Close()
	begin(t, m, r)
}

// TestCancelledRequestFreesItsSlot: by its context, or by Close; who waits for the slot gets it.
func TestCancelledRequestFreesItsSlot(t *testing.T) {
	m := open(t, Options{Slots: 1, Queue: 1})
	long := engine.Request{Prompt: prompts(t, m, 1)[0], MaxNewTokens: 400, EOS: []int32{}}
	ways := map[string]func(stop func(), s guard.Sequence){
		"context": func(stop func(), _ guard.Sequence) { stop() },
		"close":   func(_ func(), s guard.Sequence) { s.Close() },
	}
	for name, drop := range ways {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		s, err := m.Begin(ctx, long)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		waiting := begin(t, m, engine.Request{Prompt: long.Prompt, MaxNewTokens: 1})
		drop(stop, s)
		_, _, err = read(t.Context(), s)
		if kind, _ := codeOf(err); kind != guard.Cancelled || m.scheduler.Len() > 1 {
			t.Errorf("%s: the cancelled one: %v; %d in the scheduler", name, err, m.scheduler.Len())
		}
		if tokens, _, err := read(t.Context(), waiting); err != nil || len(tokens) != 1 {
			t.Errorf("%s: the one that waited: %d tokens, %v", name, len(tokens), err)
		}
	}
}

// TestSlowReaderHoldsUpNobody: a sequence that nobody reads ends all the same, and its tokens come at once then.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	m := open(t, Options{Slots: 2})
	p := prompts(t, m, 1)[0]
	unread := begin(t, m, engine.Request{Prompt: p, MaxNewTokens: 50, EOS: []int32{}})
	if _, _, err := read(t.Context(), begin(t, m, engine.Request{Prompt: p, MaxNewTokens: 60, EOS: []int32{}})); err != nil {
		t.Fatal(err)
	}
	if tokens, ended, finished, err := unread.Next(t.Context()); len(tokens) != 50 || !ended || finished || err != nil {
		t.Errorf("%d tokens, ended %t, finished %t, %v", len(tokens), ended, finished, err)
	}
}

// TestCloseUnderLoad: every sequence and score under way fails, none begins, and nothing is left running.
func TestCloseUnderLoad(t *testing.T) {
	m := open(t, Options{Slots: 4, Queue: 64})
	p := prompts(t, m, 1)[0]
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			s, err := m.Begin(t.Context(), engine.Request{Prompt: p, MaxNewTokens: 400, EOS: []int32{}})
			if err != nil {
				return
			}
			defer s.Close()
			if i%2 == 0 {
				_, err = s.Score(t.Context(), nil, [][]int32{{1}})
			}
			if err == nil {
				_, _, err = read(t.Context(), s)
			}
			if kind, code := codeOf(err); kind != guard.Failed || code != "model_failed" {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if _, err := m.Begin(t.Context(), engine.Request{Prompt: p, MaxNewTokens: 1}); err == nil || !errors.Is(m.Err(), errClosed) {
		t.Errorf("a closed model began a sequence: %v, %v", err, m.Err())
	}
}

// TestFailedStepBreaksTheModel: all sequences end with an error that quotes nothing, and the model says why.
func TestFailedStepBreaksTheModel(t *testing.T) {
	m := open(t, Options{Slots: 2})
	p := prompts(t, m, 1)[0]
	s := begin(t, m, engine.Request{Prompt: p, MaxNewTokens: 400, EOS: []int32{}})
	if err := m.engine.Close(); err != nil { // under the scheduler's feet
		t.Fatal(err)
	}
	_, _, err := read(t.Context(), s)
	if kind, code := codeOf(err); kind != guard.Failed || code != "model_failed" || m.Err() == nil {
		t.Errorf("%v; the model: %v", err, m.Err())
	}
	m.scheduler, m.engine = nil, nil
}

func TestPromptTooLong(t *testing.T) {
	m := open(t, Options{MaxLength: 64})
	_, err := m.Begin(t.Context(), engine.Request{Prompt: make([]int32, 64), MaxNewTokens: 1})
	if kind, code := codeOf(err); kind != guard.Invalid || code != "context_length_exceeded" {
		t.Errorf("64 of 64 tokens: %v", err)
	}
}

// TestCommonBeginningIsReused: with the same tokens. Three requests that begin alike come one after another: the first is
// seen, the second kept, the third continues what was kept. A model too short for a chunk opens all the same.
func TestCommonBeginningIsReused(t *testing.T) {
	open(t, Options{MaxLength: 100, Slots: 2})
	if got := schedule(Options{}, chunk+1).Prefixes; got < 1 {
		t.Fatalf("%d beginnings are kept", got)
	}
	m := open(t, Options{Slots: 2})
	system := make([]int32, chunk)
	for i := range system {
		system[i] = int32(10 + i*7%1500)
	}
	for _, p := range prompts(t, m, 3) {
		p = slices.Concat(system, p)
		want, err := m.engine.Generate(t.Context(), [][]int32{p}, engine.GenerateOptions{MaxNewTokens: 30, EOS: []int32{}})
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := read(t.Context(), begin(t, m, engine.Request{Prompt: p, MaxNewTokens: 30, EOS: []int32{}}))
		if err != nil || !slices.Equal(got, want[0].Tokens) {
			t.Errorf("%v, %v; Generate gives %v", got, err, want[0].Tokens)
		}
	}
}

// TestNeed: at least the weights in float32 and the cache of all slots, and not ten times that.
func TestNeed(t *testing.T) {
	m := open(t, Options{Slots: 8})
	need, err := Need(m.options)
	least := 4*m.engine.Config().Parameters() + int64(8*m.MaxLength()*m.engine.Config().KVSize()*2*4*4)
	if err != nil || need < least || need > 10*least {
		t.Errorf("%d bytes, %v; weights and cache have %d", need, err, least)
	}
}
