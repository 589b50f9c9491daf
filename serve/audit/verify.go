package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// VerifyOptions say what a log is held against.
type VerifyOptions struct {
	Keys  []string // public keys of the checkpoints; without them their signatures are not looked at
	Since []byte   // a checkpoint that was kept elsewhere: the log must still hold its record; nil: none

	Answer func(id, reasoning string) // is told of every answer; may be nil
}

// Verify reads a whole log, in constant memory, and recomputes every hash. It may run while the log is written.
func Verify(dir string, o VerifyOptions) Report {
	v := verifier{dir: dir, answer: o.Answer, open: map[string]struct{}{}, models: map[string]struct{}{}, keys: map[string]struct{}{}}
	err := v.run(o)
	var bad *finding
	if errors.As(err, &bad) {
		v.Outcome, v.Where, v.Why = bad.outcome, bad.where, bad.why.Error()
	} else if err != nil {
		v.Outcome, v.Why = Unreadable, err.Error()
	}
	v.finish()
	return v.Report
}

// finding is why a log is not whole.
type finding struct {
	outcome Outcome
	where   string
	why     error
}

func (f *finding) Error() string { return f.where + ": " + f.why.Error() }

type verifier struct {
	Report
	dir       string
	answer    func(id, reasoning string)
	verifiers []note.Verifier
	since     *Checkpoint

	notes   *notes
	next    *Checkpoint // the first that is not behind the head
	matched head        // newest checkpoint that the chain has
	end     error       // of checkpoints.note: io.EOF, or why the last note is not whole

	head    head
	started uint64 // newest start record; a checkpoint signs it before anything is answered

	open         map[string]struct{} // answers that are not done
	models, keys map[string]struct{}
}

func (v *verifier) run(o VerifyOptions) error {
	for _, key := range o.Keys {
		k, err := note.NewVerifier(key)
		if err != nil {
			return fmt.Errorf("%q is no public key of a note", key)
		}
		v.verifiers = append(v.verifiers, k)
	}
	if o.Since != nil {
		c, err := OpenCheckpoint(o.Since, v.verifiers)
		if err != nil {
			return fmt.Errorf("the checkpoint that was kept: %w", err)
		}
		v.since = &c
	}
	numbers, missing, err := v.settle()
	if v.notes != nil {
		defer v.notes.close()
	}
	if err != nil {
		return err
	}
	if err := v.nextNote(); err != nil {
		return err
	}
	if len(numbers) == 0 && v.next == nil && v.since == nil {
		return fmt.Errorf("there is no audit log in %s", v.dir)
	}
	var size int64 // of the newest segment now: the checkpoint of a later start would be missing
	if len(numbers) > 0 {
		info, err := os.Stat(filepath.Join(v.dir, segmentName(numbers[len(numbers)-1])))
		if err != nil {
			return err
		}
		size = info.Size()
	}
	buffer := newLineBuffer()
	for i, n := range numbers {
		in, err := openLines(filepath.Join(v.dir, segmentName(n)), buffer)
		if err != nil {
			return err
		}
		if i == len(numbers)-1 {
			buffer.Reset(io.LimitReader(in.file, size))
		}
		err = v.segment(in, n, i == 0, i == len(numbers)-1 && missing == nil)
		in.close()
		if err != nil {
			return err
		}
		v.Segments++
	}
	if missing != nil {
		return &finding{Altered, missing.Name + ":1", missing}
	}
	return v.atEnd()
}

// settle lists the segments and opens the checkpoints, at a moment when no segment is begun: the checkpoints then sign the
// seams of all that are listed, and nothing beyond them.
func (v *verifier) settle() (numbers []int, missing *MissingError, err error) {
	list := func() ([]int, error) {
		numbers, err := segments(v.dir)
		if missing = nil; errors.As(err, &missing) {
			err = nil
		}
		return numbers, err
	}
	before, err := list()
	for err == nil {
		if err = v.openNotes(); err != nil {
			break
		}
		if numbers, err = list(); err != nil || slices.Equal(numbers, before) {
			break
		}
		if before = numbers; v.notes != nil {
			v.notes.close()
		}
	}
	return numbers, missing, err
}

// openNotes reads no further than the checkpoints go now: records that are written meanwhile come behind them.
func (v *verifier) openNotes() (err error) {
	v.end = nil
	if v.notes, err = openNotes(v.dir); v.notes == nil || err != nil {
		v.end = io.EOF
		return err
	}
	info, err := v.notes.file.Stat()
	if err != nil {
		return err
	}
	v.notes.r.Reset(io.LimitReader(v.notes.file, info.Size()))
	return nil
}

func (v *verifier) nextNote() error {
	if v.end != nil {
		v.next = nil
		return nil
	}
	c, err := v.notes.next()
	if err == nil && len(v.verifiers) > 0 {
		_, err = OpenCheckpoint([]byte(c.Note), v.verifiers)
	}
	switch {
	case errors.Is(err, io.EOF):
		v.next, v.end = nil, err
		return nil
	case errors.Is(err, errTorn):
		if _, more := v.notes.next(); errors.Is(more, io.EOF) { // it is being written, or a crash tore it
			v.next, v.end, v.TornNote = nil, err, true
			return nil
		}
	case err == nil && c.Seq < v.matched.seq:
		err = fmt.Errorf("checkpoint %d stands behind checkpoint %d", c.Seq, v.matched.seq)
	}
	if err != nil {
		return v.notesAltered(err)
	}
	v.next = &c
	return nil
}

func (v *verifier) notesAltered(why error) error {
	return &finding{Altered, fmt.Sprintf("%s:%d", notesName, v.notes.line), why}
}

// segment follows the chain through a segment.
func (v *verifier) segment(in *lines, number int, oldest, newest bool) error {
	name := segmentName(number)
	for {
		text, whole, err := in.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return err
		}
		if err == nil && !whole {
			if newest {
				v.Torn = int64(len(text)) // it is being written, or a crash tore it
				return nil
			}
			err = errors.New("no line end")
		}
		if err == nil {
			err = v.line(text, number, in.n == 1, oldest)
		}
		var already *finding
		if err != nil && !errors.As(err, &already) {
			err = &finding{Altered, fmt.Sprintf("%s:%d", name, in.n), err}
		}
		if err != nil {
			return err
		}
	}
}

func (v *verifier) line(text []byte, number int, first, oldest bool) error {
	l, err := parse(text)
	if err != nil {
		return err
	}
	if first && number > 1 {
		if err := v.seam(l, number, oldest); err != nil {
			return err
		}
	}
	if v.head, err = l.follows(v.head, text); err != nil {
		return err
	}
	if err := v.account(l); err != nil {
		return err
	}
	return v.match()
}

// seam checks the record with which a segment begins: a checkpoint must sign the end of the segment before.
func (v *verifier) seam(l *line, number int, oldest bool) error {
	if string(l.kind) != "rotated" || string(l.file) != segmentName(number-1) || !bytes.Equal(l.hash, l.prev) || l.last != l.seq-1 {
		return errors.New("a segment must begin with a record that names the end of the one before")
	}
	if oldest {
		v.head = head{l.last, unhex(string(l.hash))}
		for v.next != nil && v.next.Seq < l.last {
			v.matched = head{seq: v.next.Seq}
			if err := v.nextNote(); err != nil {
				return err
			}
		}
		if err := v.match(); err != nil {
			return err
		}
		v.StartsBehind = l.last
	}
	if v.matched.seq != l.last || v.matched.hash.String() != string(l.hash) {
		return fmt.Errorf("no checkpoint signs record %d, the end of the segment before", l.last)
	}
	return nil
}

// match holds the head against the checkpoints that sign it.
func (v *verifier) match() error {
	hash := ""
	for v.next != nil && v.next.Seq <= v.head.seq {
		if hash = v.head.hash.String(); v.next.Seq != v.head.seq || v.next.Hash != hash {
			return fmt.Errorf("record %d, or one before it, is not the one that checkpoint %d signs", v.head.seq, v.next.Seq)
		}
		v.matched = v.head
		v.Checkpoints++
		if err := v.nextNote(); err != nil {
			return err
		}
	}
	if v.since != nil && v.since.Seq == v.head.seq && v.since.Hash != v.head.hash.String() {
		return fmt.Errorf("record %d, or one before it, is not the one that the kept checkpoint signs", v.head.seq)
	}
	return nil
}

// account counts what the report tells.
func (v *verifier) account(l *line) error {
	v.Records++
	if v.Records == 1 {
		v.First = l.at
	} else if l.at.Before(v.Last) {
		if v.ClockBack++; v.ClockBack == 1 {
			v.FirstClockBack = l.seq
		}
	}
	v.Last = l.at
	switch string(l.kind) {
	case "start":
		v.started = l.seq
		v.abandon()
		return nil
	case "recovered", "warning", "rotated":
		return nil
	case "answer":
		v.Answers++
		v.open[string(l.id)] = struct{}{}
		add(v.models, l.model)
		add(v.keys, keyOf(l.reasoning))
		if v.answer != nil {
			v.answer(string(l.id), string(l.reasoning))
		}
	case "aborted":
		v.Aborted++
		add(v.models, l.model)
	case "done":
		delete(v.open, string(l.id))
	}
	if v.matched.seq < v.started || v.started == 0 && v.StartsBehind == 0 {
		return fmt.Errorf("no checkpoint signs the start before it, record %d", v.started)
	}
	return nil
}

// abandon counts the answers that are open: whoever was to end them is gone.
func (v *verifier) abandon() {
	for id := range v.open {
		if v.Unclosed++; len(v.UnclosedIDs) < 10 {
			v.UnclosedIDs = append(v.UnclosedIDs, id)
		}
	}
	clear(v.open)
}

// atEnd holds the end of the chain against the checkpoints behind it.
func (v *verifier) atEnd() error {
	beyond := v.next
	if v.since != nil && v.since.Seq > v.head.seq && (beyond == nil || beyond.Seq < v.since.Seq) {
		beyond = v.since
	}
	if beyond != nil {
		return &finding{Cut, fmt.Sprintf("behind checkpoint %d", v.matched.seq),
			fmt.Errorf("it ends at record %d, and checkpoint %d is signed", v.head.seq, beyond.Seq)}
	}
	return nil
}

func (v *verifier) finish() {
	v.abandon()
	v.LastSeq, v.Unsigned = v.head.seq, v.head.seq-v.matched.seq
	v.SignaturesVerified = len(v.verifiers) > 0
	v.Models, v.KeyIDs = sorted(v.models), sorted(v.keys)
	slices.Sort(v.UnclosedIDs)
}
