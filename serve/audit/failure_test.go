package audit

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faulty is a disk that can be full, or fail.
type faulty struct {
	mu       sync.Mutex
	room     int   // bytes that may still be written; negative: any
	sync     error // of fdatasync
	truncate error
}

func (d *faulty) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

type faultyFile struct {
	file
	disk *faulty
}

func (d *faulty) open(path string) (file, error) {
	f, err := openAppend(path)
	return faultyFile{f, d}, err
}

func (f faultyFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if room := f.disk.room; room >= 0 && room < len(b) {
		n, _ := f.file.Write(b[:room])
		f.disk.room = 0
		return n, &fs.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	}
	return f.file.Write(b)
}

func (f faultyFile) Datasync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.sync != nil {
		return f.disk.sync
	}
	return f.file.Datasync()
}

func (f faultyFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.truncate != nil {
		return f.disk.truncate
	}
	return f.file.Truncate(size)
}

func openFaulty(t *testing.T, o Options, d *faulty) *Log {
	t.Helper()
	l, err := open(o, d.open, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// On a full disk nothing is acknowledged and no half line stays; when there is room again the log goes on by itself, and
// says that it was away.
func TestFullDisk(t *testing.T) {
	o, d := logOptions(t), &faulty{room: -1}
	l := openFaulty(t, o, d)
	answerOnce(t, l, 0)
	before := allOf(t, o)
	for room := range 40 {
		d.set(func() { d.room = room * 13 })
		if _, err := l.Answer(t.Context(), anAnswer(1)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("with room for %d bytes: %v", room*13, err)
		}
		if !errors.Is(l.Err(), syscall.ENOSPC) {
			t.Fatalf("Err is %v", l.Err())
		}
		if now := allOf(t, o); now != before {
			t.Fatalf("with room for %d bytes the log holds\n%s", room*13, strings.TrimPrefix(now, before))
		}
	}
	d.set(func() { d.room = -1 })
	for end := time.Now().Add(5 * time.Second); l.Err() != nil && time.Now().Before(end); { // without a request
		time.Sleep(10 * time.Millisecond)
	}
	answerOnce(t, l, 2)
	if err := l.Err(); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	r := wantWhole(t, o)
	if all := allOf(t, o); r.Answers != 2 || strings.Count(all, `"kind":"resumed"`) != 1 || strings.Contains(all, "req_000001") {
		t.Errorf("%+v\n%s", r, all)
	}
}

// What is on disk after an fdatasync that failed, nobody knows: the log refuses until it is opened again.
func TestFailedSync(t *testing.T) {
	for name, change := range map[string]func(*faulty){
		"fdatasync": func(d *faulty) { d.sync = syscall.EIO },
		"truncate":  func(d *faulty) { d.room, d.truncate = 30, syscall.EROFS },
	} {
		t.Run(name, func(t *testing.T) {
			o, d := logOptions(t), &faulty{room: -1}
			l := openFaulty(t, o, d)
			answerOnce(t, l, 0)
			d.set(func() { change(d) })
			if _, err := l.Answer(t.Context(), anAnswer(1)); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			d.set(func() { d.room, d.sync, d.truncate = -1, nil, nil })
			if err := l.Done(t.Context(), Done{ID: "req_000001"}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("after a failed %s: %v", name, err)
			}
			if err := l.Close(); !errors.Is(err, ErrUnavailable) {
				t.Errorf("closed: %v", err)
			}
			l = mustOpen(t, o)
			answerOnce(t, l, 2)
			mustClose(t, l)
			wantWhole(t, o)
		})
	}
}

// A request that is given up while it waits for the disk is told so.
func TestGivenUp(t *testing.T) {
	o, d := logOptions(t), &faulty{room: -1}
	l := openFaulty(t, o, d)
	d.mu.Lock() // the disk stands still
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Answer(ctx, anAnswer(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	d.mu.Unlock()
	mustClose(t, l)
	wantWhole(t, o)
}

// Checkpoints come after so many records, after a time with new ones, and go outside too.
func TestCheckpoints(t *testing.T) {
	o := logOptions(t)
	o.CheckpointRecords, o.CheckpointEvery = 10, 50*time.Millisecond
	var mu sync.Mutex
	var emitted []string
	o.Emit = func(note string) {
		mu.Lock()
		defer mu.Unlock()
		emitted = append(emitted, note)
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(emitted)
	}
	wait := func(n int) {
		for end := time.Now().Add(5 * time.Second); count() < n && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	l := mustOpen(t, o)
	for n := range 15 {
		answerOnce(t, l, n)
	}
	if wait(4); count() != 4 { // of the start, and after 10, 20, 30 records
		t.Errorf("%d checkpoints", count())
	}
	must(t, l.Event(t.Context(), Event{Kind: "promotion"}))
	wait(5)
	time.Sleep(1200 * time.Millisecond) // nothing new
	if n := count(); n != 5 {
		t.Errorf("%d checkpoints", n)
	}
	last, err := LastNote(o.Dir)
	if err != nil || last.Note != emitted[len(emitted)-1] || last.Seq != 32 {
		t.Errorf("%+v, %v", last, err)
	}
	mustClose(t, l)
	r := wantWhole(t, o)
	if r.Checkpoints != count() {
		t.Errorf("%d checkpoints in the log, %d emitted", r.Checkpoints, count())
	}
	kept := []byte(emitted[len(emitted)-1])
	files := snapshot(t, o.Dir)
	files["000001.jsonl"] = []byte(strings.Join(strings.SplitAfter(string(files["000001.jsonl"]), "\n")[:5], ""))
	first, _, _ := bytes.Cut(files[notesName], []byte("\n\nso8t\n"))
	files[notesName] = append(first, "\n\n"...)
	restore(t, o.Dir, files) // cut, and the checkpoints with it
	wantWhole(t, o)
	if r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public(), Since: kept}); r.Outcome != Cut || !strings.Contains(r.Why, "ends at record 5") {
		t.Errorf("held against a checkpoint that was kept: %+v", r)
	}
}

// The clock is not trusted for the order: a step back is written as it is, and counted.
func TestClockSetBack(t *testing.T) {
	o := logOptions(t)
	var mu sync.Mutex
	at := time.Date(2026, 11, 27, 23, 59, 59, 0, time.UTC)
	step := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(d)
	}
	l, err := open(o, openAppend, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return at
	})
	if err != nil {
		t.Fatal(err)
	}
	answerOnce(t, l, 0)
	step(-time.Hour)
	answerOnce(t, l, 1)
	step(2 * time.Hour) // another day, another segment
	answerOnce(t, l, 2)
	mustClose(t, l)
	if r := wantWhole(t, o); r.ClockBack != 1 || r.FirstClockBack != 4 || r.Segments != 2 {
		t.Errorf("%+v", r)
	}
}
