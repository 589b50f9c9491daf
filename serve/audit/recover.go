package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"so8t/disk"
)

// found is what a start finds in the folder.
type found struct {
	segment   int // newest, 0 if there is none
	size      int64
	first     time.Time // of its first record
	head      head
	signed    head // newest checkpoint
	notes     int64
	torn      int64  // bytes cut off the newest segment
	tornIn    string // its name
	notesTorn int64  // bytes cut off checkpoints.note
}

// recover reads the newest segment and the checkpoints that sign it, and cuts off what was written and never acknowledged.
// It changes nothing if anything else is wrong.
func (l *Log) recover() (f found, err error) {
	dir := l.options.Dir
	numbers, err := segments(dir)
	if err != nil {
		return f, err
	}
	var base head
	if n := len(numbers); n > 0 {
		f.segment = numbers[n-1]
		if n > 1 {
			if base, err = lastRecord(filepath.Join(dir, segmentName(numbers[n-2]))); err != nil {
				return f, err
			}
		}
	}
	checkpoints, err := l.readNotes(&f, base.seq)
	if err != nil {
		return f, err
	}
	if f.segment > 1 && len(numbers) == 1 { // those before it were removed
		if base, err = prunedBase(dir, f.segment, checkpoints); err != nil {
			return f, err
		}
	}
	f.head = base
	if f.segment > 0 {
		if err := l.readNewest(&f, base, checkpoints); err != nil {
			return f, err
		}
	}
	if f.signed.seq > f.head.seq {
		return f, fmt.Errorf("%s is cut: it ends at record %d, checkpoint %d is signed", dir, f.head.seq, f.signed.seq)
	}
	return f, l.cutOff(f)
}

// readNotes returns the hashes of the checkpoints from a record on.
func (l *Log) readNotes(f *found, from uint64) (map[uint64]string, error) {
	n, err := openNotes(l.options.Dir)
	if n == nil || err != nil {
		return nil, err
	}
	defer n.close()
	hashes := map[uint64]string{}
	var torn error
	for {
		c, err := n.next()
		if err == nil && c.Seq >= from {
			_, err = OpenCheckpoint([]byte(c.Note), l.options.Keys.verifiers)
		}
		switch {
		case errors.Is(err, io.EOF):
			f.notesTorn = n.size - f.notes
			return hashes, nil
		case errors.Is(err, ErrNoKey), err == nil && torn != nil:
			return nil, fmt.Errorf("%s:%d: %w", notesName, n.line, errors.Join(torn, err))
		case err != nil: // the last note, if no other follows
			torn = err
		default:
			f.notes = n.size
			f.signed = head{seq: c.Seq, hash: unhex(c.Hash)}
			if c.Seq >= from {
				hashes[c.Seq] = c.Hash
			}
		}
	}
}

// prunedBase returns the head that the first record of the only segment left names, if a checkpoint signs it.
func prunedBase(dir string, segment int, checkpoints map[uint64]string) (h head, err error) {
	name := segmentName(segment)
	in, err := openLines(filepath.Join(dir, name), newLineBuffer())
	if err != nil {
		return h, err
	}
	defer in.close()
	text, _, err := in.read()
	if err != nil {
		return h, fmt.Errorf("%s: the segment before is missing: %w", name, err)
	}
	first, err := parse(text)
	if err != nil {
		return h, fmt.Errorf("%s:1: %w", name, err)
	}
	if checkpoints[first.seq-1] != string(first.prev) {
		return h, fmt.Errorf("%s:1: no checkpoint signs the record before, and the segment before is missing", name)
	}
	return head{first.seq - 1, unhex(string(first.prev))}, nil
}

// readNewest follows the chain through the newest segment. It stops at the first broken line, and fails if that line was
// on disk once: a later line or a checkpoint shows it.
func (l *Log) readNewest(f *found, base head, checkpoints map[uint64]string) error {
	name := segmentName(f.segment)
	in, err := openLines(filepath.Join(l.options.Dir, name), newLineBuffer())
	if err != nil {
		return err
	}
	defer in.close()
	var broken error // names its line
	for {
		text, whole, err := in.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return err
		}
		var r *line
		if err == nil {
			r, err = parse(text)
		}
		if broken != nil {
			if r != nil && r.synced > f.head.seq {
				return broken
			}
			continue
		}
		if err == nil {
			err = l.take(f, r, text, whole, in, checkpoints)
		}
		if err != nil {
			broken = fmt.Errorf("%s:%d: %w", name, in.n, err)
		}
	}
	if f.torn = in.next - f.size; f.torn > 0 {
		f.tornIn = name
	}
	if broken != nil && f.signed.seq > f.head.seq {
		return broken
	}
	return nil
}

// take adds the record to what was found.
func (l *Log) take(f *found, r *line, text []byte, whole bool, in *lines, checkpoints map[uint64]string) error {
	if !whole {
		return errors.New("no line end")
	}
	h, err := r.follows(f.head, text)
	if err != nil {
		return err
	}
	if want, ok := checkpoints[h.seq]; ok && want != h.hash.String() {
		return fmt.Errorf("record %d is not the one that was signed", h.seq)
	}
	if in.n == 1 {
		f.first = r.at
	}
	f.head, f.size = h, in.next
	return nil
}

// cutOff removes what was never acknowledged.
func (l *Log) cutOff(f found) error {
	cut := func(name string, to int64) error {
		out, err := l.open(filepath.Join(l.options.Dir, name))
		if err != nil {
			return err
		}
		return errors.Join(out.Truncate(to), out.Datasync(), out.Close())
	}
	if f.torn > 0 {
		if err := cut(f.tornIn, f.size); err != nil {
			return err
		}
	}
	if f.notesTorn > 0 {
		if err := cut(notesName, f.notes); err != nil {
			return err
		}
	}
	if f.torn > 0 || f.notesTorn > 0 {
		disk.Crash("audit.recovered")
	}
	return nil
}

// makePrivateDir creates dir for its owner alone.
func makePrivateDir(dir string) error {
	_, err := os.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := disk.MakeDir(dir); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}
