package dataset

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/semaphore"

	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/disk"
)

// A kill loses the records since the last commit and those in hand between reading and writing.
const (
	commitBytes  = 32 << 20
	inHand       = 4 << 20 // for each worker
	inHandAtMost = 24 << 20
)

// task is a block on its way from the reader through a worker to the sequencer.
type task struct {
	block  source.Block
	bytes  int64
	done   chan struct{} // closed when a worker is through with it
	sorted sorted
	err    error
	panic  string
}

// read takes the rest of the input through the workers into the work folder. Blocks are written in the order of the
// input, so that the number of threads changes nothing.
func (s *splitter) read(ctx context.Context, w *work) error {
	rows, err := record.NewReader(s.Records)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	room := int64(min(s.Threads*inHand, inHandAtMost))
	budget := semaphore.NewWeighted(room)
	todo, order := make(chan *task), make(chan *task, 16*s.Threads)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(errors.New("the split has ended"))
	for range s.Threads {
		running.Go(func() {
			for sorter := newSorter(s, rows); ; {
				select {
				case t, ok := <-todo:
					if !ok {
						return
					}
					sorter.take(t)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	var readErr error
	running.Go(func() {
		defer close(order)
		defer close(todo)
		readErr = s.input.Read(ctx, w.Next, func(b source.Block) error {
			t := &task{block: b, done: make(chan struct{})}
			for _, row := range b.Rows {
				t.bytes += int64(len(row.JSON))
			}
			if err := budget.Acquire(ctx, min(t.bytes, room)); err != nil {
				return context.Cause(ctx)
			}
			for _, to := range [...]chan *task{order, todo} {
				select {
				case to <- t:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	})
	if err := s.write(ctx, w, order, func(t *task) { budget.Release(min(t.bytes, room)) }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return readErr // order is closed
}

// write takes tasks in order as they are done. It commits every commitBytes, and at the end.
func (s *splitter) write(ctx context.Context, w *work, order <-chan *task, release func(*task)) error {
	next, read, since := w.Next, w.Read, int64(0)
	half := read > s.input.Size/2
	for t := range order {
		select {
		case <-t.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if t.panic != "" {
			panic(t.panic) // where the caller's recover, if any, sees it
		}
		if t.err != nil {
			return t.err
		}
		if err := w.add(&t.sorted); err != nil {
			return err
		}
		since += max(t.bytes, t.block.Read-read)
		next, read = t.block.Next, t.block.Read
		release(t)
		if s.Progress != nil {
			s.Progress(read, s.input.Size)
		}
		if read > s.input.Size/2 && !half {
			half = true
			disk.Crash("split.half")
		}
		if since >= s.commitEvery {
			if err := s.commit(w, next, read); err != nil {
				return err
			}
			since = 0
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.commit(w, next, read)
}

// commit makes what was added durable, unless the policy removed records because it could not read a robots file: those would
// stay removed in the attempt that goes on from here.
func (s *splitter) commit(w *work, next source.Position, read int64) error {
	if s.Policy != nil {
		if err := s.Policy.Err(); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	return w.commit(next, read)
}

// take sorts a block's rows; a panic is kept for the sequencer.
func (s *sorter) take(t *task) {
	defer close(t.done)
	defer func() {
		if p := recover(); p != nil {
			t.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	t.err = s.block(&t.block, &t.sorted)
	t.block.Rows = nil
}

// add appends what a worker made of a block.
func (w *work) add(b *sorted) error {
	w.Report.add(b.report)
	for i, rows := range b.rows {
		if err := w.logs[i].add(rows); err != nil {
			return err
		}
	}
	for _, k := range b.kept {
		if err := w.store.Add(k.train, k.ref, k.digest, &k.signature); err != nil {
			return err
		}
	}
	return nil
}
