// Package model is a model that answers many requests at once: one goroutine steps the engine's scheduler and puts each
// sequence's tokens into its mailbox, where a slow reader finds several and holds up nobody.
package model

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"so8t/device"
	"so8t/engine"
	"so8t/engine/phi3"
	"so8t/serve/guard"
	"so8t/serve/panics"
	"so8t/tokenizer"
)

// Options say how a model is held.
type Options struct {
	Path      string // folder in Hugging Face layout
	Device    device.Device
	Threads   int  // of the CPU library; 0: all
	Int8      bool // hold linear weights as int8 rows
	Float32   bool // compute in float32, otherwise in bfloat16
	Slots     int  // sequences decoded at once; 0: 16
	Queue     int  // sequences that wait for a slot; more are refused as guard.Busy
	MaxLength int  // tokens of prompt and answer; 0: the model's, at most 4096
}

const (
	defaultSlots     = 16
	defaultMaxLength = 4096

	// chunk bounds the tokens of prompts that one step computes: enough rows for a CPU's products to run at full speed, few
	// enough that the answers beside a long prompt go on.
	chunk = 256

	// prefixes is how many beginnings of prompts are kept, whole chunks each: a system prompt of 256 tokens or more is
	// computed once, not for every request. On the demo's model on two cores that makes answers of 46 tokens behind 256 to
	// 384 common ones two to three times as fast, and costs nothing where none are common.
	prefixes = 8
)

// engineOptions opens the model for answering. The bounds that the options leave open are filled in.
func (o *Options) engineOptions() (engine.Options, error) {
	config, err := phi3.LoadConfig(o.Path)
	if err != nil {
		return engine.Options{}, err
	}
	if o.Slots == 0 {
		o.Slots = defaultSlots
	}
	if o.MaxLength == 0 {
		o.MaxLength = min(defaultMaxLength, config.MaxPositionEmbeddings)
	}
	return engine.Options{BasePath: o.Path, Device: o.Device, Threads: o.Threads, Int8: o.Int8, Float32: o.Float32,
		MaxTokens: max(o.MaxLength, o.Slots), MaxLength: o.MaxLength}, nil
}

// Need is the memory in bytes that Open will allocate: weights, activations, and a cache in which every slot can grow to
// MaxLength. It reads config.json alone.
func Need(o Options) (bytes int64, err error) {
	options, err := o.engineOptions()
	if err != nil {
		return 0, err
	}
	needs, err := engine.Plan(options)
	if err != nil {
		return 0, err
	}
	for _, n := range needs {
		bytes += n.Bytes
	}
	phi, err := phi3.New(o.Path, phi3.Options{Float32: o.Float32, Int8: o.Int8, MaxTokens: options.MaxTokens, MaxLength: options.MaxLength})
	if err != nil {
		return 0, err
	}
	return bytes + int64(o.Slots*phi3.Pages(o.MaxLength))*phi.CacheBytes(), nil
}

// Model implements guard.Model. Its methods may be called from any goroutine.
type Model struct {
	options   Options
	digest    string
	tokenizer *tokenizer.Tokenizer
	ends      []int32
	engine    *engine.Model
	scheduler *engine.Scheduler

	wake   chan struct{} // one slot: there is work
	stop   context.CancelFunc
	ended  chan struct{} // closed when the goroutine has returned
	closed func() error

	mu        sync.Mutex
	sequences map[engine.RequestID]*sequence
	probes    map[engine.RequestID]*probe
	failure   error       // why the model answers no longer
	unread    []*sequence // whose readers are to be woken
	woken     time.Time   // when they last were
}

// Open loads the model and starts the goroutine that steps it.
func Open(ctx context.Context, o Options) (*Model, error) {
	m := &Model{wake: make(chan struct{}, 1), ended: make(chan struct{}), sequences: map[engine.RequestID]*sequence{},
		probes: map[engine.RequestID]*probe{}}
	if err := m.load(ctx, o); err != nil {
		return nil, errors.Join(err, m.free())
	}
	running, stop := context.WithCancel(context.Background())
	m.stop, m.closed = stop, sync.OnceValue(m.close)
	go func() {
		defer close(m.ended)
		defer panics.Caught(m.fail)
		m.run(running)
	}()
	return m, nil
}

func (m *Model) load(ctx context.Context, o Options) (err error) {
	options, err := o.engineOptions()
	if err != nil {
		return err
	}
	m.options = o
	if m.tokenizer, err = tokenizer.Load(o.Path); err != nil {
		return err
	}
	if m.ends, err = m.tokenizer.EndTokens(); err != nil {
		return fmt.Errorf("%s: %w", o.Path, err)
	}
	sum, err := engine.BaseDigest(ctx, o.Path)
	if err != nil {
		return err
	}
	m.digest = "sha256:" + sum
	if m.engine, err = engine.Open(ctx, options); err != nil {
		return err
	}
	if known, have := m.tokenizer.VocabSize(), m.engine.Config().VocabSize; known > have {
		return fmt.Errorf("%s: tokenizer.json has %d tokens, the model's vocabulary is %d", o.Path, known, have)
	}
	m.scheduler, err = m.engine.NewScheduler(ctx, schedule(o, options.MaxTokens))
	return err
}

// schedule keeps no beginnings where a pass is shorter than a chunk: no prompt would be long enough to share one.
func schedule(o Options, maxTokens int) engine.SchedulerOptions {
	s := engine.SchedulerOptions{Slots: o.Slots, MaxLength: o.MaxLength, Chunk: min(chunk, maxTokens)}
	if maxTokens > chunk {
		s.Prefixes = prefixes
	}
	return s
}

// Digest names the model: "sha256:" and engine.BaseDigest of its folder.
func (m *Model) Digest() string { return m.digest }

// Tokenizer is the model's own.
func (m *Model) Tokenizer() guard.Tokenizer { return m.tokenizer }

// MaxLength is the most tokens of prompt and answer together.
func (m *Model) MaxLength() int { return m.options.MaxLength }

// Err is why the model answers no longer: a step failed, or Close was called. nil: it answers.
func (m *Model) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

var errClosed = errors.New("the model is closed")

// Close fails the sequences that are under way, waits for the goroutine and frees the device. It may be called again.
func (m *Model) Close() error { return m.closed() }

func (m *Model) close() error {
	m.fail(errClosed)
	m.stop()
	<-m.ended
	return m.free()
}

func (m *Model) free() (err error) {
	if m.scheduler != nil {
		err = m.scheduler.Close()
	}
	if m.engine != nil {
		err = errors.Join(err, m.engine.Close())
	}
	return err
}
