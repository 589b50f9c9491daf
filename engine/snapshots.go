package engine

import (
	"sync"

	"so8t/native"
)

// snapshots are copies of device memory that are read on other threads while the device works. Released ones are freed on
// the device's thread before its next work, so that no reader waits for a step to end.
type snapshots struct {
	reading sync.RWMutex // held while a copy is read, and by Close
	closed  bool

	mu   sync.Mutex
	done []*native.Snapshot
}

// reader reads one copy, from any goroutine, until the model is closed.
type reader struct {
	of       *snapshots
	snapshot *native.Snapshot
}

func (r *reader) ReadAt(b []byte, offset int64) (int, error) {
	r.of.reading.RLock()
	defer r.of.reading.RUnlock()
	if r.of.closed {
		return 0, errClosed
	}
	return r.snapshot.ReadAt(b, offset)
}

// release leaves copies to be freed.
func (s *snapshots) release(copies []*native.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, copies...)
}

// free frees what was released. Call it on the device's thread.
func (s *snapshots) free() {
	s.mu.Lock()
	done := s.done
	s.done = nil
	s.mu.Unlock()
	for _, c := range done {
		c.Free()
	}
}

// close waits for running reads. Later ones fail.
func (s *snapshots) close() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
}
