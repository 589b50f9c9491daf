package engine

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"so8t/engine/phi3"
)

// SchedulerOptions fix what a Scheduler holds on the device while it is open.
type SchedulerOptions struct {
	Slots     int // sequences decoded at once; 0: 16
	MaxLength int // the longest sequence, prompt included; 0: the model's
	// Chunk bounds the tokens of prompts that one step computes, so that a long prompt does not hold up the tokens of the
	// sequences beside it. A longer prompt is cut at multiples of Chunk, whatever runs beside it, and enters over several
	// steps; in every second of them shorter prompts go first. 0: a step computes all prompts that have a slot, each in one
	// pass if the model's MaxTokens allow.
	Chunk int
	// Prefixes is how many beginnings of prompts are kept, such as a system prompt that requests have in common: requests
	// that begin alike share their pages and do not compute them again. They are whole chunks, seen at least twice; the least
	// recently used go first, and none stays where a sequence or a probe needs its pages. A prompt is computed in the same
	// pieces with and without, so its numbers are the same; but that a beginning was seen before, whoever's it was, shows in
	// the time to the first token. Chunk must be a multiple of phi3.PageSize then. 0: none.
	Prefixes int

	pages int // of the cache's pool; 0: as many as the slots could use, if the device has memory for them
}

// Request asks for the continuation of one prompt. It has the names of transformers' GenerationConfig.
type Request struct {
	Prompt       []int32
	MaxNewTokens int                          // also bounded by the scheduler's MaxLength
	EOS          []int32                      // the sequence ends with one of these; nil: the model's own
	Stop         func(generated []int32) bool // called after each token, on the scheduler's thread; may be nil
	Temperature  float64                      // 0: greedy
	TopP         float64                      // 0 or 1: the whole distribution
	Seed         uint64
	Index        int    // with Seed and a token's place in the answer, it names the random number of the token's draw
	Client       string // free slots go round the clients that wait, so that one with many requests does not hold up the others
}

// Probe asks for the log-probabilities of continuations of one prompt. What its prompt has in common with a running
// sequence is not computed again, and the rest is computed in the passes that decode the sequences.
type Probe struct {
	Of            RequestID // the sequence; 0, or one that does not run: all of the prompt is computed
	Prompt        []int32
	Continuations [][]int32 // none of them empty
}

// Generation is the continuation of one prompt.
type Generation struct {
	Tokens   []int32 // without the prompt and without the ending token
	Finished bool    // ended by itself: by an EOS token or Stop
	Latency  time.Duration
	Restarts int // how often it was put back for want of memory
}

// RequestID names a submitted request.
type RequestID uint64

// Event is one new token of a sequence, its end, or a probe's scores.
type Event struct {
	ID     RequestID
	Token  int32       // where End and Scores are nil
	End    *Generation // the whole answer
	Scores []float64   // of a probe: the sum of log-probabilities of each continuation, in nats
}

// Scheduler decodes sequences together that come and go at any time: continuous batching over a pool of pages (Yu et al.,
// Orca, OSDI 2022; Kwon et al., arXiv 2309.06180). When the pool is too small for all running sequences, the youngest
// waits for its turn and loses only time.
//
// What runs beside a sequence changes its tokens at most by rounding, and only through the number of rows that a pass, or
// lm_head in it, computes at once: up to sixteen are multiplied one by one, more in tiles, which add in another order. A row
// is a running sequence's token, a token of a prompt, or a token of a probe; lm_head's rows are the tokens chosen and the
// probes' targets. So on a CPU a sequence has the same bits in passes of up to sixteen rows whatever they hold, and in all
// larger passes: a request whose prompt has more than sixteen tokens gets alone what it gets in company of up to 15, while
// no chunk of a long prompt and no probe makes the passes larger. On a GPU the larger passes may differ too: the algorithm
// of a product is chosen by its rows. The draws of a request that samples are the same in any company.
//
// Submit, Score and Cancel may be called from any goroutine, also while a step runs; the next step takes notice of them.
// Step, Steps and Close are for one goroutine. Other methods of the model may be called between two steps.
type Scheduler struct {
	model    *Model
	cache    *phi3.Cache
	capacity int // tokens of the longest sequence
	pages    int
	chunk    int // tokens of a prompt that are computed at once

	slots    []*sequence // nil: free
	running  []*sequence // in slots, the youngest last
	waiting  queue
	probes   probes
	prefixes prefixes
	prefill  prefill // of the step
	events   []Event // of the step

	mu        sync.Mutex // guards the rest
	last      RequestID
	submitted []*sequence
	live      map[RequestID]*sequence // neither ended nor cancelled
}

// sequence is one request on its way, or the context of a probe.
type sequence struct {
	Request
	id        RequestID
	tokens    []int32 // the prompt and what was generated
	extent    int     // tokens that its slot needs pages for
	probe     *probe  // nil: a request
	out       Generation
	slot      int
	started   time.Time
	cancelled bool // guarded by the scheduler's mu
}

func (q *sequence) generated() []int32 { return q.tokens[len(q.Prompt):] }

// NewScheduler allocates the cache that sequences of the model are decoded in.
func (m *Model) NewScheduler(ctx context.Context, o SchedulerOptions) (*Scheduler, error) {
	if o.Slots == 0 {
		o.Slots = 16
	}
	if o.MaxLength == 0 {
		o.MaxLength = m.options.MaxLength
	}
	if o.Slots < 1 || o.MaxLength < 1 || o.MaxLength > m.options.MaxLength || o.Chunk < 0 || o.Chunk > m.options.MaxTokens {
		return nil, fmt.Errorf("scheduler: %d slots, sequences of %d tokens or chunks of %d are out of range; the model was opened for %d, and %d in a pass",
			o.Slots, o.MaxLength, o.Chunk, m.options.MaxLength, m.options.MaxTokens)
	}
	s := &Scheduler{model: m, capacity: o.MaxLength, pages: o.pages, chunk: m.options.MaxTokens, live: map[RequestID]*sequence{},
		prefixes: prefixes{seed: maphash.MakeSeed(), seen: map[uint64]bool{}}}
	s.slots = make([]*sequence, min(o.Slots, m.options.MaxTokens))
	if o.Chunk > 0 {
		s.chunk, s.prefill.limited = o.Chunk, true
	}
	if o.Prefixes < 0 || o.Prefixes > 0 && (o.Chunk == 0 || o.Chunk%phi3.PageSize != 0) {
		return nil, fmt.Errorf("scheduler: %d beginnings of prompts kept in chunks of %d: chunks must be multiples of %d", o.Prefixes, o.Chunk,
			phi3.PageSize)
	}
	all := s.probes.reserve(len(s.slots))
	for range o.Prefixes {
		s.prefixes.free = append(s.prefixes.free, all)
		all++
	}
	err := m.run(ctx, func() (err error) {
		if s.pages == 0 {
			if s.pages, err = m.cachePages(len(s.slots)*phi3.Pages(s.capacity), phi3.Pages(s.capacity)); err != nil {
				return err
			}
		}
		s.cache, err = m.phi.NewCache(all, s.capacity, s.pages)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	return s, nil
}

// Submit queues a request. An error is about this request alone.
func (s *Scheduler) Submit(r Request) (RequestID, error) {
	if err := s.checkPrompt(r.Prompt, s.capacity-1); err != nil {
		return 0, err
	}
	if r.MaxNewTokens < 1 || r.Temperature < 0 || r.TopP < 0 || r.TopP > 1 {
		return 0, fmt.Errorf("max_new_tokens %d, temperature %v or top_p %v is out of range", r.MaxNewTokens, r.Temperature, r.TopP)
	}
	if r.EOS == nil {
		r.EOS = s.model.phi.Config.EOSTokenIDs
	}
	if r.TopP == 0 {
		r.TopP = 1
	}
	return s.submit(&sequence{Request: r}), nil
}

func (s *Scheduler) checkPrompt(prompt []int32, longest int) error {
	if len(prompt) == 0 || len(prompt) > longest {
		return fmt.Errorf("a prompt of %d tokens; the model was opened for 1 to %d", len(prompt), longest)
	}
	return s.checkTokens(prompt)
}

func (s *Scheduler) checkTokens(ids []int32) error {
	vocabulary := s.model.phi.Config.VocabSize
	for _, id := range ids {
		if id < 0 || int(id) >= vocabulary {
			return fmt.Errorf("token %d is outside the model's vocabulary of %d", id, vocabulary)
		}
	}
	return nil
}

func (s *Scheduler) submit(q *sequence) RequestID {
	q.tokens = slices.Clone(q.Prompt)
	q.extent = max(q.extent, len(q.tokens))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	q.id = s.last
	s.submitted = append(s.submitted, q)
	s.live[q.id] = q
	return q.id
}

// Cancel drops a request or a probe: no step that begins later has an event of it. Its slot and its pages are free with the
// next step. Nothing happens if it has ended already.
func (s *Scheduler) Cancel(id RequestID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.live[id]; q != nil {
		q.cancelled = true
		delete(s.live, id)
	}
}

// Len is the number of requests and probes that have neither ended nor been cancelled.
func (s *Scheduler) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// Step begins waiting requests and continues each running one by a token. It returns what happened in order of time: the
// tokens of one sequence in their order, its end last. After an error other than ctx's the scheduler can only be closed.
func (s *Scheduler) Step(ctx context.Context) (events []Event, err error) {
	err = s.model.run(ctx, func() error {
		events, err = s.step()
		return err
	})
	return events, err
}

// Steps steps until nothing is left to do, yield returns false, or ctx ends. yield gets the events of each step, on the
// device's thread: that saves two switches of threads a step, and no other method of the model runs before Steps returns.
func (s *Scheduler) Steps(ctx context.Context, yield func([]Event) bool) error {
	return s.model.run(ctx, func() error {
		for s.Len() > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			events, err := s.step()
			if err != nil {
				return err
			}
			if !yield(events) {
				break
			}
		}
		return nil
	})
}

// step is Step on the device's thread.
func (s *Scheduler) step() ([]Event, error) {
	s.events = nil
	s.takeNotice()
	err := s.begin()
	if err == nil {
		err = s.advance()
	}
	return s.events, err
}

// takeNotice takes over what was submitted and cancelled since the last step.
func (s *Scheduler) takeNotice() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.submitted {
		if q.probe != nil {
			s.probes.waiting = append(s.probes.waiting, q)
		} else {
			s.waiting.add(q)
		}
	}
	s.submitted = nil
	cancelled := func(q *sequence) bool { return q.cancelled }
	s.waiting.remove(cancelled)
	s.probes.waiting = slices.DeleteFunc(s.probes.waiting, cancelled)
	for _, q := range slices.Concat(s.running, s.probes.active) {
		if q.cancelled {
			s.leave(q)
		}
	}
}

// ended forgets a request that has its answer.
func (s *Scheduler) ended(q *sequence, e Event) {
	s.leave(q)
	s.mu.Lock()
	delete(s.live, q.id)
	s.mu.Unlock()
	e.ID = q.id
	s.events = append(s.events, e)
}

// Close frees the cache. Requests that have not ended are lost.
func (s *Scheduler) Close() error {
	s.mu.Lock()
	clear(s.live)
	s.mu.Unlock()
	return s.model.run(context.Background(), func() error {
		if s.cache != nil {
			s.model.phi.FreeCache(s.cache)
		}
		s.cache = nil
		return nil
	})
}
