package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// While clients ask, the link moves to another model and then to a broken one: nobody is refused, the answers name the
// model that gave them, and the broken one never answers.
func TestPromotionWhileClientsAsk(t *testing.T) {
	dir := home(t)
	for _, name := range []string{"old", "new", "broken"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(demoBase(t))); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "new", "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(text, '\n'), 0o600); err != nil { // the same model, under another digest
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "broken", "model.safetensors"), 1<<20); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "current")
	move := func(to string) {
		t.Helper()
		if err := os.Symlink(to, link+".next"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".next", link); err != nil {
			t.Fatal(err)
		}
	}
	move("old")
	s := start(t, dir, "--model", link, "--set", "serve.poll_seconds=1")
	first, _, err := s.think(question)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var models sync.Map
	var answers atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				a, status, err := s.think(question)
				if err != nil || status != http.StatusOK {
					t.Errorf("refused while a model is promoted: %d, %v", status, err)
					return
				}
				models.Store(a.Model, true)
				answers.Add(1)
			}
		})
	}
	move("new")
	s.until("the new model answers", func() bool { a, _, _ := s.think(question); return a.Model != first.Model })
	second, _, _ := s.think(question)
	move("broken")
	s.until("the broken model is refused", func() bool { return len(records(t, dir, "model_refused")) > 0 })
	close(done)
	clients.Wait()
	count := 0
	models.Range(func(any, any) bool { count++; return true })
	if last, _, err := s.think(question); err != nil || last.Model != second.Model || count != 2 || answers.Load() == 0 {
		t.Errorf("%d answers by %d models, at last %+v, %v", answers.Load(), count, last, err)
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	verified(t, dir)
	if promoted := records(t, dir, "promotion"); len(promoted) != 2 {
		t.Errorf("promotions: %v", promoted)
	}
}
