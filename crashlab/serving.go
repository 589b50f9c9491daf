package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"so8t/serve/audit"
)

// serving is a server of the demo's model, its clients, and the audit log that they are held against.
type serving struct {
	root, dir string
	log, keys string // folders
	rng       *rand.Rand
	tally     *tally
	url       string
	starts    int
	server    *process
	clients   *clients
}

func newServing(ctx context.Context, root, dir, disk string, seed uint64, t *tally) (*serving, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	return &serving{root: root, dir: dir, log: filepath.Join(disk, "log"), keys: filepath.Join(disk, "keys"), rng: rand.New(rand.NewPCG(seed, 0)),
		tally: t, url: url, clients: startClients(ctx, url)}, nil
}

func (s *serving) close() {
	if s.server != nil && s.server.alive() {
		s.server.kill()
	}
	s.clients.close()
}

// start starts the server, armed with a crash point if one is given.
func (s *serving) start(point string) (err error) {
	s.starts++
	name := filepath.Join(s.dir, fmt.Sprintf("%04d-serve.log", s.starts))
	s.server, err = launch(name, []string{"SO8T_CRASH_AT=" + point}, nil, filepath.Join(s.root, "bin", "worker"), "serve",
		"--config", filepath.Join(s.root, "configs", "serve.yaml"), "--model", filepath.Join(s.root, "demo", "base"),
		"--set", "serve.address="+strings.TrimPrefix(s.url, "http://"), "--set", "serve.metrics_address=", "--set", "serve.device=cpu",
		"--set", "serve.threads=1", "--set", "serve.requests_per_minute=0", "--set", "audit.dir="+s.log, "--set", "audit.keys_dir="+s.keys,
		"--set", "audit.segment_mib=1", "--set", "audit.checkpoint_records=50")
	s.server.armed = point != ""
	return err
}

// ready waits until the server answers. An armed one may die before.
func (s *serving) ready() error {
	for end := time.Now().Add(untilHung); ; time.Sleep(5 * time.Millisecond) {
		if !s.server.alive() {
			if s.server.metItsPoint() {
				return nil
			}
			return fmt.Errorf("the server ended with %d: see %s", s.server.exitCode(), s.server.log)
		}
		if answer, err := s.clients.http.Get(s.url + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server is not ready after %v: see %s", untilHung, s.server.log)
		}
	}
}

// live lets disturbances follow one another, and holds the log against what the clients saw after each.
func (s *serving) live(ctx context.Context, more func() bool, disturb func() (string, error)) error {
	if err := s.start(""); err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		return err
	}
	for more() && ctx.Err() == nil {
		name, err := disturb()
		if err != nil {
			return err
		}
		s.server.kill()
		s.clients.gate.Lock() // when what the dead server had sent has arrived
		seen := s.clients.take()
		answers := len(seen)
		torn, err := s.torn()
		began := time.Now()
		if err == nil {
			err = s.start("")
		}
		if err == nil {
			err = s.ready()
		}
		back := time.Since(began)
		s.clients.gate.Unlock()
		if err == nil {
			err = s.verify(seen)
		}
		if err != nil {
			return fmt.Errorf("%s, start %d: %w", name, s.starts, err)
		}
		s.tally.happened(name, answers, torn, back)
	}
	s.server.signal(syscall.SIGTERM)
	if !s.server.gone(time.Minute) || s.server.exitCode() != 0 {
		return fmt.Errorf("told to stop, the server ended with %d: see %s", s.server.exitCode(), s.server.log)
	}
	if s.clients.answers.Load() == 0 {
		return errors.New("no client got an answer: nothing was tried")
	}
	return s.verify(s.clients.take())
}

// verify fails if the log is not whole, or an answer that a client saw has no record with its hash.
func (s *serving) verify(seen map[string]string) error {
	keys, err := audit.ReadKeys(s.keys)
	if err != nil {
		return err
	}
	var other []error
	r := audit.Verify(s.log, audit.VerifyOptions{Keys: keys.Public(), Answer: func(id, reasoning string) {
		if hash, ok := seen[id]; ok && hash != "" && hash != reasoning {
			other = append(other, fmt.Errorf("%s left with the hash %s, its record has %s", id, hash, reasoning))
		}
		delete(seen, id)
	}})
	if r.Outcome != audit.Whole {
		return fmt.Errorf("the audit log is %v: %s: %s", r.Outcome, r.Where, r.Why)
	}
	for id := range seen {
		other = append(other, fmt.Errorf("%s left and has no record", id))
	}
	if len(other) == 0 && r.Segments > 4 {
		return s.prune()
	}
	return errors.Join(other...)
}

// torn reports whether the dead server's log has something that the next start must cut off.
func (s *serving) torn() (bool, error) {
	keys, err := audit.ReadKeys(s.keys)
	if err != nil {
		return false, err
	}
	r := audit.Verify(s.log, audit.VerifyOptions{Keys: keys.Public()})
	return r.Outcome != audit.Whole || r.Torn > 0 || r.TornNote, nil
}

// prune removes the oldest segment, as an operator may.
func (s *serving) prune() error {
	names, err := filepath.Glob(filepath.Join(s.log, "*.jsonl"))
	if err != nil {
		return err
	}
	return os.Remove(slices.Min(names))
}

// killServers kills servers at random instants and at the crash points of their audit log.
func killServers(ctx context.Context, root, dir string) error {
	t := newTally(os.Stdout)
	began := time.Now()
	err := inLanes(ctx, t.total, cli.ServeKills, func(ctx context.Context, i int, more func() bool) error {
		name := fmt.Sprintf("serve%d", i)
		at := filepath.Join(dir, name)
		s, err := newServing(ctx, root, at, at, cli.Seed+200+uint64(i), t)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.live(ctx, more, s.disturb); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	t.table("while serving")
	fmt.Printf("seed %d, %v\n", cli.Seed, time.Since(began).Round(time.Second))
	return err
}

// auditPoints are the crash points of the audit log, and how likely each is drawn.
var auditPoints = []string{"audit.written", "audit.written", "audit.synced", "audit.synced", "audit.rotated", "audit.recovered"}

// disturb has the server die, and returns of what.
func (s *serving) disturb() (name string, err error) {
	pause := func() { time.Sleep(time.Duration(s.rng.IntN(500)) * time.Millisecond) }
	switch s.rng.IntN(10) {
	default:
		pause()
		return "kill -9", nil
	case 5, 6: // while it starts
		s.server.kill()
		if err := s.start(""); err != nil {
			return "", err
		}
		pause()
		return "kill -9 while starting", nil
	case 7, 8, 9:
		pause()
		point := auditPoints[s.rng.IntN(len(auditPoints))]
		return "at " + point, s.crashAt(point)
	}
}

// crashAt has another server kill itself at the point.
func (s *serving) crashAt(point string) error {
	s.server.kill()
	passing := 1 + s.rng.IntN(12)
	switch point {
	case "audit.rotated":
		passing = 1
		if err := s.fill(); err != nil {
			return err
		}
	case "audit.recovered":
		passing = 1
		if err := s.dieAt("audit.written", 1); err != nil { // its start record; later passings may be those of a checkpoint
			return err
		}
		if err := s.tear(); err != nil {
			return err
		}
	}
	return s.dieAt(point, passing)
}

func (s *serving) dieAt(point string, passing int) error {
	if err := s.start(fmt.Sprintf("%s:%d", point, passing)); err != nil {
		return err
	}
	if !s.server.gone(untilHung) {
		return fmt.Errorf("the server did not come to %s:%d: see %s", point, passing, s.server.log)
	}
	if !s.server.metItsPoint() {
		return fmt.Errorf("at %s:%d the server ended with %d: see %s", point, passing, s.server.exitCode(), s.server.log)
	}
	return nil
}

// fill makes the newest segment so large that the next start begins another.
func (s *serving) fill() error {
	keys, err := audit.ReadKeys(s.keys)
	if err != nil {
		return err
	}
	l, err := audit.Open(audit.Options{Dir: s.log, Keys: keys})
	if err != nil {
		return err
	}
	padding := audit.Event{Kind: "padding", Detail: map[string]string{"text": strings.Repeat("x", 100<<10)}}
	for range 11 {
		err = errors.Join(err, l.Event(context.Background(), padding))
	}
	return errors.Join(err, l.Close())
}

// tear cuts into the last record, which a server wrote and never synced: a loss of power may leave that.
func (s *serving) tear() error {
	names, err := filepath.Glob(filepath.Join(s.log, "*.jsonl"))
	if err != nil {
		return err
	}
	newest := slices.Max(names)
	text, err := os.ReadFile(newest)
	if err != nil || len(text) == 0 {
		return errors.Join(fmt.Errorf("%s: no record to tear", newest), err)
	}
	last := len(text) - 1 - strings.LastIndex(string(text[:len(text)-1]), "\n")
	return os.Truncate(newest, int64(len(text)-1-s.rng.IntN(last-1)))
}
