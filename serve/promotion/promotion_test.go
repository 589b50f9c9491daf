package promotion

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"so8t/serve/guard"
)

// TestPromotionUnderLoad: the link moves to and fro while 50 users ask. None sees a model that is closed, or none at all,
// whichever way the new one is loaded.
func TestPromotionUnderLoad(t *testing.T) {
	for _, beside := range []string{Always, Auto, Never} {
		t.Run(beside, func(t *testing.T) {
			s := newStage(t, beside)
			s.promote(s.model("a", inForm))
			s.model("b", inForm)
			s.run()
			s.answers("a")
			stop := s.users(50)
			for i := range 20 {
				name := []string{"b", "a"}[i%2]
				s.promote(name)
				s.answers(name)
			}
			if asked := stop(); asked < 100 || s.loads() != 21 {
				t.Errorf("%d requests, %d models opened", asked, s.loads())
			}
		})
	}
}

// TestBrokenPromotion: the old model stays and is not even drained for what holds no model; the broken one is refused
// once, and tried again only when the link or the folder changes.
func TestBrokenPromotion(t *testing.T) {
	for _, beside := range []string{Always, Never} {
		t.Run(beside, func(t *testing.T) {
			s := newStage(t, beside)
			s.promote(s.model("a", inForm))
			s.run()
			s.answers("a")
			stop := s.users(50)
			defer stop()
			if err := os.Mkdir(filepath.Join(s.dir, "empty"), 0o700); err != nil {
				t.Fatal(err)
			}
			s.model("bad", garbage)
			for _, broken := range []string{"empty", "bad"} {
				s.promote(broken)
				s.until("refusal of "+broken, func() bool { return s.count("model_refused "+broken) > 0 })
				s.answers("a")
				if broken == "empty" && s.loads() != 1 {
					t.Error("the old model was drained for a folder without a model")
				}
			}
			opened := s.loads()
			time.Sleep(20 * time.Millisecond)
			if s.count("model_refused") != 2 || s.loads() != opened {
				t.Errorf("refused again: %q", s.noted())
			}
			if last := s.noted()[len(s.noted())-1]; beside == Always && !strings.HasSuffix(last, "prompt 1 of 2: an answer of 5 tokens is not in the form") {
				t.Errorf("the refusal says %q", last)
			}
			for _, note := range append(s.noted(), s.log.String()) {
				if strings.Contains(note, "secret") || strings.Contains(note, garbage) {
					t.Errorf("a prompt or an answer was quoted: %s", note)
				}
			}
			s.model("bad", inForm) // written anew
			s.answers("bad")
		})
	}
}

// TestFolderWrittenWhileItIsRead: what was read may be of two models, and is not taken; the next look finds the whole.
func TestFolderWrittenWhileItIsRead(t *testing.T) {
	s := newStage(t, Auto)
	s.promote(s.model("a", inForm))
	s.model("b", inForm)
	writing := true
	s.o.Open = func(ctx context.Context, path string) (Loaded, error) {
		m, err := s.open(ctx, path)
		if filepath.Base(path) == "b" && writing {
			writing = false
			s.model("b", inForm+"\n")
		}
		return m, err
	}
	s.run()
	s.answers("a")
	s.promote("b")
	s.answers("b")
	if s.count("model_refused b the folder was written while it was read") != 1 {
		t.Errorf("%q", s.noted())
	}
}

// TestShortMemoryDrains: without memory for both, the old model is closed before the new one is opened.
func TestShortMemoryDrains(t *testing.T) {
	for _, c := range []struct {
		need    int64
		drained bool
	}{{1, false}, {1 << 61, true}} {
		s := newStage(t, Auto)
		s.need = c.need
		s.promote(s.model("a", inForm))
		s.model("b", inForm)
		s.run()
		s.answers("a")
		m, release, err := s.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		s.promote("b")
		if !c.drained {
			s.answers("b")
		} else {
			time.Sleep(20 * time.Millisecond)
			if s.loads() != 1 || s.Ready() != nil {
				t.Errorf("%d models are open while the old one is in use; ready: %v", s.loads(), s.Ready())
			}
		}
		if m.(*fake).closed.Load() {
			t.Error("the old model was closed in use")
		}
		release()
		release() // a second call does nothing
		s.answers("b")
		s.until("the old model's end", m.(*fake).closed.Load)
	}
}

// TestFailedModelIsLoadedAgain: also while the link leads to one that was refused.
func TestFailedModelIsLoadedAgain(t *testing.T) {
	s := newStage(t, Auto)
	s.promote(s.model("a", inForm))
	s.model("bad", garbage)
	s.run()
	s.answers("a")
	for i := range 2 {
		m, release, err := s.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		failure := errors.New("out of memory")
		m.(*fake).failure.Store(&failure)
		release()
		s.until("another", func() bool {
			again, release, err := s.Acquire()
			if err != nil {
				return false
			}
			defer release()
			return again != m && again.(*fake).path == m.(*fake).path
		})
		if i == 0 {
			s.promote("bad")
			s.until("refusal", func() bool { return s.count("model_refused") == 1 })
		}
	}
	if s.count("model_refused") != 1 || s.loads() != 4 { // the refused one was not even opened again
		t.Errorf("%d models opened, %q", s.loads(), s.noted())
	}
}

// TestLinkThatLeadsNowhere: the old model stays, and that is said once.
func TestLinkThatLeadsNowhere(t *testing.T) {
	s := newStage(t, Auto)
	s.promote(s.model("a", inForm))
	s.run()
	s.answers("a")
	for range 2 {
		s.promote("nothing")
		time.Sleep(20 * time.Millisecond)
		if err := os.Remove(filepath.Join(s.dir, "current")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.answers("a")
	s.promote("a") // the same again: nothing is loaded
	time.Sleep(20 * time.Millisecond)
	if n := strings.Count(s.log.String(), "leads to no model"); n != 1 || s.loads() != 1 {
		t.Errorf("said %d times; %d models opened", n, s.loads())
	}
}

// TestPlainFolder: what is written into it is loaded by Reload alone.
func TestPlainFolder(t *testing.T) {
	s := newStage(t, Auto)
	s.o.Link = s.model("a", inForm)
	s.run()
	s.answers("a")
	s.Reload()
	time.Sleep(20 * time.Millisecond)
	s.model("a", inForm+"\n")
	time.Sleep(20 * time.Millisecond)
	if s.loads() != 1 {
		t.Error("loaded again unasked, or unchanged")
	}
	s.Reload()
	s.until("the second", func() bool { return len(s.noted()) == 2 })
}

// TestFirstModel: until it is there requests are told so, and where it cannot be loaded Run says why.
func TestFirstModel(t *testing.T) {
	s := newStage(t, Auto)
	if _, _, err := s.Acquire(); !errors.Is(err, guard.ErrLoading) || !errors.Is(s.Ready(), guard.ErrLoading) || s.Digest() != "" {
		t.Errorf("before Run: %v, %v", err, s.Ready())
	}
	if err := s.Follower.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a link: %v", err)
	}
	s.promote(s.model("bad", garbage))
	if err := s.Follower.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not in the form") || !s.opened[0].closed.Load() {
		t.Errorf("with garbage: %v", err)
	}
}

// TestEndWaitsForAnswers: Run returns when the last user has gone, and none comes after its context's end.
func TestEndWaitsForAnswers(t *testing.T) {
	s := newStage(t, Auto)
	s.promote(s.model("a", inForm))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Follower.Run(ctx) }()
	s.answers("a")
	m, release, err := s.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	s.until("the end", func() bool { return s.Ready() != nil })
	if _, _, err := s.Acquire(); !errors.Is(err, guard.ErrLoading) {
		t.Errorf("after the end: %v", err)
	}
	time.Sleep(10 * time.Millisecond)
	if len(ended) != 0 || m.(*fake).closed.Load() {
		t.Error("closed in use")
	}
	release()
	if err := <-ended; err != nil || !m.(*fake).closed.Load() {
		t.Errorf("%v; closed: %t", err, m.(*fake).closed.Load())
	}
}
