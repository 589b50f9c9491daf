package engine

import (
	"sync"

	"so8t/native"
)

// snapshots are copies of device memory that others read while the device goes on. What is no longer read is freed
// on the device's own thread, before its next work: nobody waits for a step to end.
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

// release gives copies back.
func (s *snapshots) release(copies []*native.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, copies...)
}

// free frees what was given back; on the device's thread.
func (s *snapshots) free() {
	s.mu.Lock()
	done := s.done
	s.done = nil
	s.mu.Unlock()
	for _, c := range done {
		c.Free()
	}
}

// close waits for readers at work; there are none after it.
func (s *snapshots) close() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
}
