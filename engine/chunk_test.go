package engine

import (
	"fmt"
	"slices"
	"testing"
)

// lengths are the tokens in the cache of each running sequence.
func lengths(s *Scheduler) map[RequestID]int {
	all := map[RequestID]int{}
	for _, q := range s.running {
		all[q.id] = s.cache.Length(q.slot)
	}
	return all
}

// TestChunks: a long prompt enters in pieces, in the same ones whatever runs beside it, and the others get a token in every
// step. No step computes more of prompts than a chunk.
func TestChunks(t *testing.T) {
	m, _ := probeModel(t)
	const chunk = 16
	long := Request{Prompt: randomTokens(1, 200), MaxNewTokens: 20, EOS: []int32{}}
	want := alone(t, m, long) // in one pass
	for _, company := range []int{0, 3} {
		s := openScheduler(t, m, SchedulerOptions{Slots: 4, Chunk: chunk})
		x, other := newStreams(t), RequestID(0)
		for i := range company {
			other = submit(t, s, Request{Prompt: randomTokens(uint64(i), 5), MaxNewTokens: 100, EOS: []int32{}})
		}
		for range 3 {
			x.take(step(t, s))
		}
		id := submit(t, s, long)
		for steps := 0; len(x.tokens[id]) == 0; steps++ {
			before, was := len(x.tokens[other]), lengths(s)[id]
			x.take(step(t, s))
			now := lengths(s)[id]
			if now-was > chunk && len(x.tokens[id]) == 0 || now < 200 && now%chunk != 0 {
				t.Fatalf("a step took the prompt from %d to %d tokens", was, now)
			}
			if company > 0 && len(x.tokens[other]) != before+1 {
				t.Fatalf("a step beside the prompt gave %d tokens", len(x.tokens[other])-before)
			}
			if steps > 200/chunk+1 {
				t.Fatal("the prompt does not come in")
			}
		}
		for s.Len() > 0 {
			x.take(step(t, s))
		}
		if !slices.Equal(x.tokens[id], want) {
			t.Errorf("%d others: %v, in one pass %v", company, x.tokens[id], want)
		}
		allVacant(t, s)
	}
}

// TestLongPrompts: prompts may be longer than a pass, with longrope too, whose long factors hold from the first chunk on.
func TestLongPrompts(t *testing.T) {
	for _, name := range []string{"gqa", "longrope"} {
		o := variant(t, name)
		options := o.gated()
		options.MaxLength = 128
		short := o.open(t, options)
		options.MaxTokens = 128
		whole := o.open(t, options)
		r := Request{Prompt: randomTokens(2, 115), MaxNewTokens: 12, EOS: []int32{}}
		if n := short.options.MaxTokens; name == "gqa" && n >= 115 {
			t.Fatalf("passes of %d tokens take the prompt whole", n)
		}
		want := alone(t, whole, r)
		for _, chunk := range []int{0, 1, 30, 64} {
			s := openScheduler(t, short, SchedulerOptions{Slots: 2, Chunk: chunk})
			x, id := newStreams(t), submit(t, s, r)
			for s.Len() > 0 {
				x.take(step(t, s))
			}
			if !slices.Equal(x.tokens[id], want) {
				t.Errorf("%s, chunks of %d: %v, in one pass %v", name, chunk, x.tokens[id], want)
			}
		}
	}
}

// TestShortOvertakes: a short prompt waits for one chunk of the long ones before it at most, and a long one gets a chunk in
// every second step, however many short ones come.
func TestShortOvertakes(t *testing.T) {
	m, _ := probeModel(t)
	const chunk = 16
	s := openScheduler(t, m, SchedulerOptions{Slots: 8, Chunk: chunk})
	x := newStreams(t)
	long := submit(t, s, Request{Prompt: randomTokens(1, 160), MaxNewTokens: 1, EOS: []int32{}})
	submit(t, s, Request{Prompt: randomTokens(2, 160), MaxNewTokens: 1, EOS: []int32{}})
	x.take(step(t, s))
	submitted := map[RequestID]int{}
	for i := range 2 * 160 / chunk {
		for range 2 { // two of them fill the budget
			submitted[submit(t, s, Request{Prompt: randomTokens(uint64(i), chunk/2), MaxNewTokens: 1, EOS: []int32{}})] = i
		}
		x.take(step(t, s))
		if i == 0 && len(x.ended) == 0 {
			x.take(step(t, s))
			if len(x.ended) == 0 {
				t.Error("the first short prompts wait for more than a chunk")
			}
		}
	}
	if x.ended[long] == nil {
		t.Errorf("the long prompt has not come in: %v", lengths(s))
	}
	if len(x.ended) < 160/chunk {
		t.Errorf("%d prompts ended beside the long ones", len(x.ended))
	}
}

// TestClientsTakeTurns: slots go round the clients, each client's own requests in their order, and a sequence that was put
// back comes first.
func TestClientsTakeTurns(t *testing.T) {
	m, _ := probeModel(t)
	s := openScheduler(t, m, SchedulerOptions{Slots: 1})
	names := map[RequestID]string{}
	for _, r := range []struct {
		client string
		n      int
	}{{"a", 4}, {"b", 2}, {"c", 1}} {
		for i := range r.n {
			id := submit(t, s, Request{Prompt: randomTokens(uint64(i), 5), MaxNewTokens: 3, EOS: []int32{}, Client: r.client})
			names[id] = fmt.Sprint(r.client, i)
		}
	}
	step(t, s)
	s.putBack(s.running[0])
	var order []string
	for s.Len() > 0 {
		for _, e := range step(t, s) {
			if e.End != nil {
				order = append(order, names[e.ID])
			}
		}
	}
	if want := []string{"a0", "b0", "c0", "a1", "b1", "a2", "a3"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
}

// TestCancelFreesTheSlot: the step after Cancel gives the slot to the next request, also where the cancelled one had a part
// of its prompt only.
func TestCancelFreesTheSlot(t *testing.T) {
	m, _ := probeModel(t)
	for _, chunk := range []int{0, 16} {
		s := openScheduler(t, m, SchedulerOptions{Slots: 1, Chunk: chunk})
		x := newStreams(t)
		first := submit(t, s, Request{Prompt: randomTokens(1, 100), MaxNewTokens: 100, EOS: []int32{}})
		next := submit(t, s, Request{Prompt: randomTokens(2, 10), MaxNewTokens: 100, EOS: []int32{}})
		for range 3 {
			x.take(step(t, s))
		}
		s.Cancel(first)
		x.take(step(t, s))
		if len(x.tokens[next]) == 0 {
			t.Errorf("chunks of %d: the slot is not free", chunk)
		}
		s.Cancel(next)
		step(t, s)
		allVacant(t, s)
	}
}

// TestSteps: Steps gives what single steps give, stops where it is told to, and goes on.
func TestSteps(t *testing.T) {
	m, _ := probeModel(t)
	r := Request{Prompt: randomTokens(1, 10), MaxNewTokens: 20, EOS: []int32{}}
	want := alone(t, m, r)
	s := openScheduler(t, m, SchedulerOptions{Slots: 1})
	x, id, calls := newStreams(t), submit(t, s, r), 0
	for s.Len() > 0 {
		if err := s.Steps(ctx, func(events []Event) bool {
			x.take(events)
			calls++
			return calls%7 > 0
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(x.tokens[id], want) || calls != 19 {
		t.Errorf("%v after %d steps, want %v", x.tokens[id], calls, want)
	}
}
