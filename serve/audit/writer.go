package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"so8t/disk"
	"so8t/serve/panics"
)

const (
	queueLength = 4096
	batchBytes  = 1 << 20
)

// writer is the state of the goroutine that writes.
type writer struct {
	open func(path string) (file, error)
	now  func() time.Time

	number  int // of the segment
	segment file
	size    int64     // of the segment, all on disk
	day     time.Time // of the segment's first record
	head    head      // on disk
	seam    []byte    // body of the record with which a new segment begins, until that is on disk
	broken  error     // what is on disk is not known: no more is written

	notes     file
	notesSize int64
	signed    head
	clock     time.Time // of the newest checkpoint

	buffer []byte
}

// begin opens the files where recover found their ends.
func (l *Log) begin(f found) (err error) {
	if l.notes, err = l.open(filepath.Join(l.options.Dir, notesName)); err != nil {
		return err
	}
	l.notesSize, l.signed = f.notes, f.signed
	l.number, l.size, l.day, l.head = f.segment, f.size, f.first, f.head
	if l.number == 0 {
		l.number = 1
	}
	if l.segment, err = l.open(filepath.Join(l.options.Dir, segmentName(l.number))); err != nil {
		return err
	}
	if l.size == 0 && l.number > 1 {
		l.seam = l.seamBody()
	}
	return disk.SyncDir(l.options.Dir)
}

// seamBody names the end of the segment before the current one.
func (l *Log) seamBody() []byte {
	body, _ := json.Marshal(rotatedRecord{segmentName(l.number - 1), l.head.seq, l.head.hash.String()})
	return body
}

// write commits what is queued, batch by batch: what arrives while one is synced is the next.
func (l *Log) write() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case p, ok := <-l.queue:
			if !ok {
				return
			}
			_ = l.commit(l.gather(p)) // every record of it has the error
			if l.head.seq-l.signed.seq >= uint64(l.options.CheckpointRecords) {
				l.note(l.caught(l.checkpoint))
			}
		case <-tick.C:
			l.note(l.caught(l.tick))
		}
	}
}

// gather takes what else is queued.
func (l *Log) gather(first *pending) []*pending {
	batch := []*pending{first}
	for size := len(first.body); size < batchBytes; {
		select {
		case p, ok := <-l.queue:
			if !ok {
				return batch
			}
			batch = append(batch, p)
			size += len(p.body)
		default:
			return batch
		}
	}
	return batch
}

// tick does what is due by time: another try where the disk failed, erasures, a checkpoint.
func (l *Log) tick() error {
	if l.broken != nil || l.Err() != nil && l.commit(nil) != nil {
		return nil // Err has it
	}
	if l.broken = errors.Join(l.segment.inPlace(l.size), l.notes.inPlace(l.notesSize)); l.broken != nil {
		return l.broken
	}
	if err := l.eraseRequested(); err != nil {
		l.note(err)
	}
	if l.now().Sub(l.clock) >= l.options.CheckpointEvery {
		return l.checkpoint()
	}
	return nil
}

// caught does what may panic: afterwards nobody knows what is on disk.
func (l *Log) caught(do func() error) (err error) {
	defer panics.Caught(func(panicked error) { l.broken, err = panicked, panicked })
	return do()
}

// note keeps an error for Err.
func (l *Log) note(err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		l.failure.Store(&err)
	}
}

// commit writes the records, and returns once they are on disk or the disk has failed. Its error is Err's from then on.
func (l *Log) commit(batch []*pending) (err error) {
	was := l.Err()
	switch {
	case l.broken != nil:
		err = was
	default:
		if was != nil {
			batch = append([]*pending{event("resumed", map[string]string{"after": was.Error()})}, batch...)
		}
		if err = l.caught(func() error { return l.commitBatch(batch) }); err != nil {
			l.note(err)
			err = l.Err()
		} else {
			l.failure.Store(nil)
		}
	}
	for _, p := range batch {
		p.err = err
		close(p.done)
	}
	return err
}

func (l *Log) commitBatch(batch []*pending) error {
	if err := l.rotateIfDue(); err != nil {
		return err
	}
	if err := l.users.flush(); err != nil {
		return err
	}
	at, h := l.now(), l.head
	b := l.buffer[:0]
	if l.seam != nil {
		b, h = appendLine(b, h, at, "rotated", l.seam, l.head.seq)
	}
	for _, p := range batch {
		b, h = appendLine(b, h, at, p.kind, p.body, l.head.seq)
		p.at = h.position()
	}
	l.buffer = b
	if len(b) == 0 {
		return nil
	}
	if err := l.extend(l.segment, l.size, b); err != nil {
		return err
	}
	if l.size == 0 {
		l.day = at
	}
	l.head, l.seam = h, nil
	l.size += int64(len(b))
	return nil
}

// extend appends b to a file of the given size and syncs it. A part of b that was written is removed again.
func (l *Log) extend(f file, size int64, b []byte) error {
	if _, err := f.Write(b); err != nil {
		if undo := f.Truncate(size); undo != nil {
			l.broken = undo
		}
		return err
	}
	disk.Crash("audit.written")
	if err := f.Datasync(); err != nil { // the kernel may have dropped what it could not write
		l.broken = err
		return err
	}
	disk.Crash("audit.synced")
	if err := f.inPlace(size + int64(len(b))); err != nil {
		l.broken = err
		return err
	}
	return nil
}

// rotateIfDue begins another segment if the current one is large enough, or of another day.
func (l *Log) rotateIfDue() error {
	if l.size == 0 || l.size < l.options.SegmentBytes && sameDay(l.day, l.now()) {
		return nil
	}
	if err := l.checkpoint(); err != nil { // at the seam: old segments can be removed up to it
		return err
	}
	next, err := l.open(filepath.Join(l.options.Dir, segmentName(l.number+1)))
	if err != nil {
		return err
	}
	if err := disk.SyncDir(l.options.Dir); err != nil {
		_ = next.Close()
		return err
	}
	disk.Crash("audit.rotated")
	_ = l.segment.Close() // synced
	l.segment, l.number, l.size = next, l.number+1, 0
	l.seam = l.seamBody()
	return nil
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Truncate(24 * time.Hour).Equal(b.UTC().Truncate(24 * time.Hour))
}

// checkpoint signs the head, if records came since the last one.
func (l *Log) checkpoint() error {
	l.clock = l.now()
	if l.broken != nil || l.signed == l.head {
		return l.broken
	}
	text, err := sign(l.options.Origin, l.head, l.clock, l.options.Keys.signer)
	if err != nil {
		return err
	}
	b := append([]byte(text), '\n')
	if err := l.extend(l.notes, l.notesSize, b); err != nil {
		return err
	}
	l.notesSize += int64(len(b))
	l.signed = l.head
	if l.options.Emit != nil {
		l.options.Emit(text)
	}
	return nil
}
