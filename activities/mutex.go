package activities

import (
	"context"
	"fmt"
	"sync"

	"go.temporal.io/sdk/activity"
)

// keyedMutex is a mutex for each key, here an output directory.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed at unlock
}

// lock waits for the key's mutex, until ctx ends or the worker stops.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		released := m.tryLock(key)
		if released == nil {
			return func() { m.unlock(key) }, nil
		}
		select {
		case <-released:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for an earlier attempt to leave %s: %w", key, context.Cause(ctx))
		case <-activity.GetWorkerStopChannel(ctx):
			return nil, context.Canceled
		}
	}
}

// tryLock returns nil if it took the mutex, otherwise a channel that is closed when its holder unlocks it.
func (m *keyedMutex) tryLock(key string) (released <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if holder, held := m.held[key]; held {
		return holder
	}
	if m.held == nil {
		m.held = map[string]chan struct{}{}
	}
	m.held[key] = make(chan struct{})
	return nil
}

func (m *keyedMutex) unlock(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.held[key])
	delete(m.held, key)
}
