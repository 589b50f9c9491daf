package promotion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"so8t/engine"
	"so8t/serve/guard"
	"so8t/tokenizer"
)

const (
	base    = "../../demo/base"
	inForm  = "<think-task>a</think-task><think-safety>decision: ALLOW\nb</think-safety><think-policy>c</think-policy><final>d</final>"
	garbage = "dddd"
)

// fake is a model whose folder holds its answer in one file.
type fake struct {
	tokenizer *tokenizer.Tokenizer
	path      string
	answer    string
	begun     atomic.Int64
	failure   atomic.Pointer[error]
	closed    atomic.Bool
}

var errClosed = errors.New("closed")

func (m *fake) Digest() string             { return "sha256:" + filepath.Base(m.path) }
func (m *fake) Tokenizer() guard.Tokenizer { return m.tokenizer }
func (m *fake) MaxLength() int             { return 4096 }
func (m *fake) Err() error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}
func (m *fake) Close() error { m.closed.Store(true); return nil }

func (m *fake) Begin(context.Context, engine.Request) (guard.Sequence, error) {
	if m.closed.Load() {
		return nil, errClosed
	}
	m.begun.Add(1)
	return &fakeSequence{m}, nil
}

type fakeSequence struct{ m *fake }

func (s *fakeSequence) Next(context.Context) ([]int32, bool, bool, error) {
	if s.m.closed.Load() {
		return nil, true, false, errClosed
	}
	return s.m.tokenizer.Encode(s.m.answer), true, true, nil
}

func (s *fakeSequence) Score(context.Context, []int32, [][]int32) ([]float64, error) { return nil, nil }
func (s *fakeSequence) Close()                                                       {}

// stage is a link, folders of models, and a Follower.
type stage struct {
	*testing.T
	*Follower
	dir  string
	tok  *tokenizer.Tokenizer
	need int64

	mu     sync.Mutex
	notes  []string
	opened []*fake
	log    strings.Builder
}

func newStage(t *testing.T, beside string) *stage {
	tok, err := tokenizer.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, dir: t.TempDir(), tok: tok}
	s.Follower = New(Options{Link: filepath.Join(s.dir, "current"), Every: time.Millisecond, Wait: 10 * time.Second, Beside: beside,
		Open: s.open, Need: s.needs, Prompts: []string{"secret prompt", "another"},
		Note: func(_ context.Context, kind string, detail map[string]string) {
			s.locked(func() { s.notes = append(s.notes, kind+" "+filepath.Base(detail["path"])+" "+detail["reason"]) })
		},
		Log: slog.New(slog.NewTextHandler(s, nil))})
	return s
}

func (s *stage) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stage) Write(p []byte) (n int, err error) {
	s.locked(func() { n, err = s.log.Write(p) })
	return n, err
}

func (s *stage) needs(path string) (int64, error) {
	if _, err := os.Stat(filepath.Join(path, "answer")); err != nil {
		return 0, err
	}
	return s.need, nil
}

func (s *stage) open(ctx context.Context, path string) (Loaded, error) {
	answer, err := os.ReadFile(filepath.Join(path, "answer"))
	if err != nil {
		return nil, err
	}
	m := &fake{tokenizer: s.tok, path: path, answer: string(answer)}
	s.locked(func() { s.opened = append(s.opened, m) })
	return m, nil
}

// model writes a model's folder, and returns its path.
func (s *stage) model(name, answer string) string {
	s.Helper()
	dir := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "answer"), []byte(answer), 0o600)); err != nil {
		s.Fatal(err)
	}
	return dir
}

// promote moves the link, as rundir does.
func (s *stage) promote(target string) {
	s.Helper()
	link := filepath.Join(s.dir, "current")
	if err := errors.Join(os.Symlink(target, link+"-new"), os.Rename(link+"-new", link)); err != nil {
		s.Fatal(err)
	}
}

// run starts the Follower; the test's end stops it.
func (s *stage) run() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Follower.Run(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.Error(err)
		}
		for _, m := range s.opened {
			if !m.closed.Load() {
				s.Errorf("%s was not closed", m.path)
			}
		}
	})
}

// until waits for a condition.
func (s *stage) until(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s did not come; notes %q", what, s.noted())
		}
	}
}

func (s *stage) answers(name string) {
	s.Helper()
	s.until("model "+name, func() bool { return s.Digest() == "sha256:"+name })
}

func (s *stage) loads() (n int) {
	s.locked(func() { n = len(s.opened) })
	return n
}

func (s *stage) noted() (n []string) {
	s.locked(func() { n = append(n, s.notes...) })
	return n
}

func (s *stage) count(prefix string) (n int) {
	for _, note := range s.noted() {
		if strings.HasPrefix(note, prefix) {
			n++
		}
	}
	return n
}

// users ask without end, each with one model at a time, and count what fails.
func (s *stage) users(n int) (stop func() (asked int64)) {
	var asked atomic.Int64
	var all sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := s.ask(); err != nil {
					s.Error(err)
				}
				asked.Add(1)
			}
		})
	}
	return func() int64 { end(); all.Wait(); return asked.Load() }
}

func (s *stage) ask() error {
	m, release, err := s.Acquire()
	if err != nil {
		return err
	}
	defer release()
	q, err := m.Begin(context.Background(), engine.Request{})
	if err != nil {
		return err
	}
	defer q.Close()
	time.Sleep(time.Millisecond) // a swap may come between
	if _, _, _, err := q.Next(context.Background()); err != nil {
		return fmt.Errorf("%s: %w", m.Digest(), err)
	}
	return nil
}
