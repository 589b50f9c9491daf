package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"so8t/disk"
	"so8t/serve/panics"
	program "so8t/version"
)

// Log is the only writer of a folder. Its methods may be called from many goroutines.
type Log struct {
	options Options
	users   *users
	unlock  func()

	mu      sync.RWMutex // append sends under it, Close closes the queue under it
	closed  bool
	queue   chan *pending
	ended   chan struct{}
	failure atomic.Pointer[error]

	writer
}

// pending is a record that waits for the disk.
type pending struct {
	kind string
	body []byte
	done chan struct{}
	at   Position
	err  error
}

// Open takes the folder's lock, cuts off what a killed writer left and never acknowledged, and appends a start record. A
// folder that another process has is a *disk.HeldError; errors about what the folder holds name file and line.
func Open(o Options) (*Log, error) {
	return open(o, openAppend, time.Now)
}

func open(o Options, openFile func(string) (file, error), now func() time.Time) (_ *Log, err error) {
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.CheckpointRecords = cmp.Or(o.CheckpointRecords, 1000)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, time.Minute)
	o.Origin = cmp.Or(o.Origin, "so8t")
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := makePrivateDir(o.Dir); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if err := outside(o.Dir, o.Keys.dir); err != nil {
		return nil, err
	}
	log := &Log{options: o, queue: make(chan *pending, queueLength), ended: make(chan struct{})}
	if log.unlock, err = takeFolder(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			log.release()
			err = fmt.Errorf("audit log: %w", err)
		}
	}()
	if log.users, err = openUsers(o.Keys.dir); err != nil {
		return nil, err
	}
	log.writer = writer{open: openFile, now: now, clock: now()}
	f, err := log.recover()
	if err != nil {
		return nil, err
	}
	if err := log.begin(f); err != nil {
		return nil, err
	}
	if err := log.commit(log.opening(f)); err != nil {
		return nil, err
	}
	if err := log.checkpoint(); err != nil { // before anything else: verify asks for it
		return nil, err
	}
	if err := log.eraseRequested(); err != nil {
		return nil, err
	}
	go func() {
		defer close(log.ended)
		defer panics.Caught(log.note) // of the loop itself: what it calls is caught there
		log.write()
	}()
	return log, nil
}

// opening lists the records with which a start begins.
func (l *Log) opening(f found) (batch []*pending) {
	if f.torn > 0 || f.notesTorn > 0 {
		batch = append(batch, event("recovered", map[string]string{
			"file": cmp.Or(f.tornIn, notesName), "bytes": strconv.FormatInt(f.torn, 10), "checkpoint_bytes": strconv.FormatInt(f.notesTorn, 10),
		}))
	}
	v := program.Current()
	start := map[string]string{"version": v.String(), "pid": strconv.Itoa(os.Getpid()), "signing_key": l.options.Keys.signer.Name() + "+" +
		fmt.Sprintf("%08x", l.options.Keys.signer.KeyHash()), "key": l.options.Keys.newest().id}
	batch = append(batch, event("start", start))
	if l.options.ReasoningHash == SHA256 {
		batch = append(batch, event("warning", map[string]string{"reasoning_hash": "sha256: whoever guesses a thinking can confirm it"}))
	}
	return batch
}

func event(kind string, detail map[string]string) *pending {
	body, _ := json.Marshal(eventRecord{detail}) // strings always have a JSON form
	return &pending{kind: kind, body: body, done: make(chan struct{})}
}

func (o *Options) check() error {
	switch {
	case o.Dir == "":
		return errors.New("audit log: no folder is named")
	case o.Keys == nil:
		return errors.New("audit log: it needs keys")
	case o.ReasoningHash != "" && o.ReasoningHash != HMAC && o.ReasoningHash != SHA256:
		return fmt.Errorf("audit log: the hash of the reasoning is %s or %s, not %q", HMAC, SHA256, o.ReasoningHash)
	case o.User != "" && o.User != HMAC && o.User != Plain:
		return fmt.Errorf("audit log: a user is written as %s or %s, not %q", HMAC, Plain, o.User)
	case o.SegmentBytes < 0 || o.CheckpointRecords < 0 || o.CheckpointEvery < 0:
		return errors.New("audit log: sizes and times are positive")
	case strings.ContainsRune(o.Origin, '\n'):
		return errors.New("audit log: the origin is one line")
	}
	return nil
}

// outside refuses keys that lie in the folder of the log: whoever may copy the log must not get them.
func outside(dir, keys string) error {
	var real [2]string
	for i, path := range []string{dir, keys} {
		abs, err := filepath.Abs(path)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
		real[i] = abs
	}
	if rest, err := filepath.Rel(real[0], real[1]); err == nil && rest != ".." && !strings.HasPrefix(rest, "../") {
		return fmt.Errorf("audit log: the keys in %s lie inside the log's folder %s", keys, dir)
	}
	return nil
}

const lockName = ".lock"

// takeFolder locks the folder, and leaves in the lock who holds it.
func takeFolder(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockName)
	unlock, free, err := disk.TryLock(path)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if !free {
		var h disk.Holder
		if disk.ReadJSON(path, &h) != nil { // it writes that just now
			h = disk.Holder{Owner: "another process", Since: time.Now()}
		}
		return nil, &disk.HeldError{Dir: dir, Holder: h}
	}
	host, _ := os.Hostname()
	self, _ := json.Marshal(disk.Holder{Owner: filepath.Base(os.Args[0]), Host: host, PID: os.Getpid(), Since: time.Now()})
	if err := os.WriteFile(path, self, 0o600); err != nil {
		unlock()
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return unlock, nil
}

// append queues a record and returns once it is on disk. If ctx ends before, the record may still be written.
func (l *Log) append(ctx context.Context, kind string, record any) (Position, error) {
	body, err := json.Marshal(record)
	if err == nil && len(body)+len(kind) > maxBody {
		err = fmt.Errorf("a record of %d bytes, the most is %d", len(body)+len(kind), maxBody)
	}
	if err != nil {
		return Position{}, fmt.Errorf("audit log: %s: %w", kind, err)
	}
	p := &pending{kind: kind, body: body, done: make(chan struct{})}
	if err := l.send(ctx, p); err != nil {
		return Position{}, err
	}
	select {
	case <-p.done:
		return p.at, p.err
	case <-ctx.Done():
		return Position{}, context.Cause(ctx)
	}
}

func (l *Log) send(ctx context.Context, p *pending) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return fmt.Errorf("%w: it is closed", ErrUnavailable)
	}
	select {
	case l.queue <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Err is nil while the log can be written.
func (l *Log) Err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close writes what is queued and a stop record, signs a last checkpoint and frees the folder.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	if !again {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	<-l.ended
	if again {
		return nil
	}
	err := l.Err()
	if err == nil {
		err = l.commit([]*pending{event("stop", nil)})
	}
	if err == nil {
		err = l.checkpoint()
	}
	return errors.Join(err, l.release())
}

// release closes the files and frees the folder.
func (l *Log) release() error {
	var errs []error
	for _, f := range []file{l.segment, l.notes} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if l.users != nil {
		errs = append(errs, l.users.close())
	}
	l.unlock()
	return errors.Join(errs...)
}
