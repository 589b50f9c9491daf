package checkpoint

import (
	"context"
	"errors"
	"sync"
)

// behind is the queue of the one goroutine that saves while training goes on.
// It holds one state: a newer one replaces it.
type behind struct {
	mu      sync.Mutex
	idle    sync.Cond // broadcast when writing turns false
	writing bool
	next    *job
	err     error // of saves since the last report
}

type job struct {
	state  *State
	reason string
}

// SaveBehind takes over state and saves it in the background. If a save is still running, state waits for it and
// replaces one that waits already. The error is that of earlier background saves, reported once; state is taken in
// any case. It is released once it is written or dropped.
func (s *Store) SaveBehind(state *State, reason string) error {
	b := &s.behind
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		s.log.Info("checkpoint skipped: a newer state came before its turn", "checkpoint", b.next.state.Position.Folder())
		b.next.state.release()
	}
	b.next = &job{state, reason}
	if !b.writing {
		b.writing = true
		go s.writeBehind()
	}
	return b.report()
}

func (s *Store) writeBehind() {
	b := &s.behind
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.next != nil {
		j := b.next
		b.next = nil
		b.mu.Unlock()
		_, err := s.saveAndRotate(context.Background(), j.state, j.reason)
		b.mu.Lock()
		b.err = errors.Join(b.err, err)
	}
	b.writing = false
	b.idle.Broadcast()
}

// Wait waits for background saves and returns their error, reported once.
func (s *Store) Wait() error {
	b := &s.behind
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.writing {
		b.idle.Wait()
	}
	return b.report()
}

// Busy reports whether a background save is running, behind which a snapshot taken now would have to wait.
func (s *Store) Busy() bool {
	s.behind.mu.Lock()
	defer s.behind.mu.Unlock()
	return s.behind.writing
}

func (b *behind) report() error {
	err := b.err
	b.err = nil
	return err
}

// drop discards a waiting state unless it is further on than p.
func (b *behind) drop(p Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil && b.next.state.Position.compare(p) <= 0 {
		b.next.state.release()
		b.next = nil
	}
}
