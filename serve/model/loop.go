package model

import (
	"context"
	"time"

	"so8t/engine"
)

// run steps the scheduler while there is work, and sleeps otherwise. A step that fails ends it: the scheduler's state is
// unknown then.
func (m *Model) run(ctx context.Context) {
	for {
		if !m.busy() {
			select {
			case <-ctx.Done():
				return
			case <-m.wake:
				continue
			}
		}
		err := m.scheduler.Steps(ctx, func(events []engine.Event) bool { m.deliver(events); return true })
		if err != nil {
			m.fail(err)
			return
		}
	}
}

// busy reports whether a step has anything to do.
func (m *Model) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure == nil && len(m.sequences)+len(m.probes) > 0
}

// begun wakes the goroutine that steps.
func (m *Model) begun() {
	select {
	case m.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// deliver hands a step's events to those who wait for them. Nobody who reads slowly holds it up.
func (m *Model) deliver(events []engine.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if e.Scores != nil {
			if p := m.probes[e.ID]; p != nil {
				delete(m.probes, e.ID)
				p.answer(e.Scores, nil)
			}
			continue
		}
		s := m.sequences[e.ID]
		if s == nil { // cancelled during the step
			continue
		}
		if e.End == nil {
			s.put(e.Token)
			if !s.unread {
				s.unread, m.unread = true, append(m.unread, s)
			}
			continue
		}
		delete(m.sequences, e.ID)
		s.end(e.End.Finished, nil)
	}
	if now := time.Now(); now.Sub(m.woken) >= wakeEvery {
		m.woken = now
		m.wakeReaders()
	}
}

// wakeEvery is how long tokens may lie in a mailbox before their reader is woken.
const wakeEvery = 5 * time.Millisecond

// wakeReaders wakes whoever has tokens to take, all at once and only now and then: on a small model a wake-up for every
// token costs more than the step, whose threads wait for each other when one of them loses its core.
func (m *Model) wakeReaders() {
	for _, s := range m.unread {
		s.unread = false
		s.tell()
	}
	clear(m.unread)
	m.unread = m.unread[:0]
}

// fail ends every sequence and probe, and lets none begin. The first reason counts.
func (m *Model) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil {
		m.failure = err
	}
	for _, s := range m.sequences {
		s.end(false, failed())
	}
	for _, p := range m.probes {
		p.answer(nil, failed())
	}
	clear(m.sequences)
	clear(m.probes)
}
