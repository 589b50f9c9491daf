package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"so8t/engine/phi3"
)

// SchedulerOptions fix what a Scheduler holds on the device while it is open.
type SchedulerOptions struct {
	Slots     int // sequences decoded at once; 0: 16
	MaxLength int // the longest sequence, prompt included; 0: the model's

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

// Probe asks for the log-probabilities of continuations of one prompt.
type Probe struct {
	Of            RequestID // a sequence whose pages hold the beginning of Prompt; 0, or one that has ended: all of it is computed
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
// Submit and Cancel may be called from any goroutine, also while a Step runs, which takes notice of them when it begins.
// Step and Close are for one goroutine. Other methods of the model may be called between two steps.
type Scheduler struct {
	model    *Model
	cache    *phi3.Cache
	capacity int // tokens of the longest sequence
	pages    int

	slots   []*sequence // nil: free
	running []*sequence // the youngest last
	waiting []*sequence // not begun, or put back; the first is next
	events  []Event     // of the step

	mu        sync.Mutex // guards the rest
	last      RequestID
	submitted []*sequence
	probes    []probe
	live      map[RequestID]*sequence // neither ended nor cancelled
}

// sequence is one request on its way.
type sequence struct {
	Request
	id        RequestID
	out       Generation
	slot      int
	started   time.Time
	cancelled bool // guarded by the scheduler's mu
}

// NewScheduler allocates the cache that sequences of the model are decoded in.
func (m *Model) NewScheduler(ctx context.Context, o SchedulerOptions) (*Scheduler, error) {
	if o.Slots == 0 {
		o.Slots = 16
	}
	if o.MaxLength == 0 {
		o.MaxLength = m.options.MaxLength
	}
	if o.Slots < 1 || o.MaxLength < 1 || o.MaxLength > m.options.MaxLength {
		return nil, fmt.Errorf("scheduler: %d slots or sequences of %d tokens are out of range; the model was opened for %d", o.Slots, o.MaxLength,
			m.options.MaxLength)
	}
	s := &Scheduler{model: m, capacity: o.MaxLength, pages: o.pages, live: map[RequestID]*sequence{}}
	s.slots = make([]*sequence, min(o.Slots, m.options.MaxTokens))
	err := m.run(ctx, func() (err error) {
		if s.pages == 0 {
			if s.pages, err = m.cachePages(len(s.slots)*phi3.Pages(s.capacity), phi3.Pages(s.capacity)); err != nil {
				return err
			}
		}
		s.cache, err = m.phi.NewCache(len(s.slots), s.capacity, s.pages)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	return s, nil
}

// Submit queues a request. An error is about this request alone.
func (s *Scheduler) Submit(r Request) (RequestID, error) {
	if err := r.check(min(s.model.options.MaxTokens, s.capacity-1), s.model.phi.Config.VocabSize); err != nil {
		return 0, err
	}
	if r.EOS == nil {
		r.EOS = s.model.phi.Config.EOSTokenIDs
	}
	if r.TopP == 0 {
		r.TopP = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	q := &sequence{Request: r, id: s.last}
	s.submitted = append(s.submitted, q)
	s.live[q.id] = q
	return q.id, nil
}

func (r Request) check(longest, vocabulary int) error {
	if len(r.Prompt) == 0 || len(r.Prompt) > longest {
		return fmt.Errorf("a prompt of %d tokens; the model was opened for 1 to %d", len(r.Prompt), longest)
	}
	for _, id := range r.Prompt {
		if id < 0 || int(id) >= vocabulary {
			return fmt.Errorf("token %d is outside the model's vocabulary of %d", id, vocabulary)
		}
	}
	if r.MaxNewTokens < 1 || r.Temperature < 0 || r.TopP < 0 || r.TopP > 1 {
		return fmt.Errorf("max_new_tokens %d, temperature %v or top_p %v is out of range", r.MaxNewTokens, r.Temperature, r.TopP)
	}
	return nil
}

// probe is a Probe on its way.
type probe struct {
	Probe
	id RequestID
}

// Score queues a probe. It counts as a request: Cancel and Len know it.
func (s *Scheduler) Score(p Probe) (RequestID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.probes = append(s.probes, probe{p, s.last})
	return s.last, nil
}

// scoreProbes answers what was asked since the last step.
func (s *Scheduler) scoreProbes() error {
	s.mu.Lock()
	probes := s.probes
	s.probes = nil
	s.mu.Unlock()
	for _, p := range probes {
		out := make([][]float64, 1)
		b, err := s.model.scoreBatch([][]int32{p.Prompt}, 16)
		if err != nil {
			return err
		}
		if err := s.model.score([][]int32{p.Prompt}, p.Continuations, b, out); err != nil {
			return err
		}
		s.events = append(s.events, Event{ID: p.id, Scores: out[0]})
	}
	return nil
}

// Cancel drops a request: no step that begins later has an event of it. Its pages are free with the next step. Nothing
// happens if it has ended already.
func (s *Scheduler) Cancel(id RequestID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.live[id]; q != nil {
		q.cancelled = true
		delete(s.live, id)
	}
}

// Len is the number of requests that have neither ended nor been cancelled.
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

// step is Step on the device's thread.
func (s *Scheduler) step() ([]Event, error) {
	s.events = nil
	s.takeNotice()
	err := s.scoreProbes()
	if err == nil {
		err = s.admit()
	}
	if err == nil {
		s.freePages()
		err = s.advance()
	}
	return s.events, err
}

// takeNotice takes over what was submitted and cancelled since the last step.
func (s *Scheduler) takeNotice() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, s.submitted...)
	s.submitted = nil
	cancelled := func(q *sequence) bool { return q.cancelled }
	s.waiting = slices.DeleteFunc(s.waiting, cancelled)
	for _, q := range slices.Clone(s.running) {
		if q.cancelled {
			s.leave(q)
		}
	}
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
