package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrLeaseLost says that somebody else may write now.
var ErrLeaseLost = errors.New("lease lost")

const (
	leaseName       = "lease.json"
	leaseTempPrefix = ".lease-"
	guardName       = ".guard"         // locked for moments: takeovers and commits exclude each other
	guardPatience   = 10 * time.Second // a commit may wait for a slow disk
)

// Claimant asks for a lease.
type Claimant struct {
	Owner   string        // whoever has the same one is the same run
	Attempt int64         // of that owner; a later one is larger
	Timeout time.Duration // a holder that has not renewed for so long may be replaced
}

// Holder says who may write. It is what lease.json holds.
type Holder struct {
	Owner   string    `json:"owner"`
	Attempt int64     `json:"attempt"`
	Token   string    `json:"token"` // distinguishes two takings of the same lease
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"time"`
	Timeout float64   `json:"timeout_seconds"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%q (process %d on %s, since %s)", h.Owner, h.PID, h.Host, h.Since.Format(time.RFC3339))
}

// HeldError says that the lease is in living hands.
type HeldError struct {
	Dir    string
	Holder Holder
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s is in use by %s", e.Dir, e.Holder) }

// Lease is the right to write into a folder. Its methods may be called from several goroutines; on nil they
// ask nobody.
type Lease struct {
	dir     string
	self    Holder
	text    []byte
	file    *os.File // lease.json as this holder wrote it, locked
	lost    chan struct{}
	ended   chan struct{}
	end     func()
	renewer sync.WaitGroup
}

// AcquireLease takes the lease of the folder dir, creating the folder if need be. If the
// holder shows no sign of life, it is waited for until its timeout has passed. A living
// one of another owner, or of a later attempt, gives *HeldError.
func AcquireLease(ctx context.Context, dir string, c Claimant) (*Lease, error) {
	host, _ := os.Hostname()
	l := &Lease{dir: dir, lost: make(chan struct{}), ended: make(chan struct{}), self: Holder{
		Owner: c.Owner, Attempt: c.Attempt, Token: rand.Text(), Timeout: c.Timeout.Seconds(),
		Host: host, PID: os.Getpid(), Since: time.Now().UTC(),
	}}
	l.end = sync.OnceFunc(func() { close(l.ended) })
	err := MakeDir(dir)
	if err == nil && c.Timeout <= 0 {
		err = fmt.Errorf("timeout is %v", c.Timeout)
	}
	if err == nil {
		err = l.await(ctx, func() error { return l.guarded(l.take) })
	}
	if err != nil {
		return nil, fmt.Errorf("acquire lease: %w", err)
	}
	l.renewer.Go(l.renew)
	Crash("lease.taken")
	return l, nil
}

// AwaitFree returns once the folder's lease could be taken by that owner, or with *HeldError if its
// holder lives. A folder without a lease is free.
func AwaitFree(ctx context.Context, dir, owner string) error {
	l := &Lease{dir: dir, self: Holder{Owner: owner, Attempt: 1 << 62}}
	l.self.Host, _ = os.Hostname()
	if _, err := os.Stat(l.path()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.await(ctx, func() error { return l.mayTake(time.Now()) })
}

// await tries until it succeeds, fails otherwise than by a holder, or the holder shows a sign of life.
func (l *Lease) await(ctx context.Context, try func() error) error {
	var first os.FileInfo
	for {
		err := try()
		var held *HeldError
		if !errors.As(err, &held) {
			return err
		}
		now, statErr := os.Stat(l.path())
		switch {
		case statErr != nil: // given back just now
		case first == nil:
			first = now
		case os.SameFile(first, now) && now.ModTime().After(first.ModTime()), !os.SameFile(first, now):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *Lease) path() string { return filepath.Join(l.dir, leaseName) }

// mayTake looks at who holds the lease now.
func (l *Lease) mayTake(now time.Time) error {
	f, err := os.OpenFile(l.path(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // gives back the lock too
	info, err := f.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	var held Holder
	if json.Unmarshal(text, &held) != nil {
		held = Holder{Owner: "unknown (lease.json is damaged)", Host: l.self.Host}
	}
	free, err := tryLock(f)
	if err != nil {
		return err
	}
	// Not every file system shares locks between hosts: of another host's holder only its renewals tell.
	dead := free && held.Host == l.self.Host
	superseded := held.Owner == l.self.Owner && held.Attempt < l.self.Attempt
	silent := held.Timeout > 0 && now.Sub(info.ModTime()).Seconds() > held.Timeout
	if !dead && !superseded && !silent {
		return &HeldError{l.dir, held}
	}
	return nil
}

// take puts a new lease.json in place, locked before anybody can see it.
func (l *Lease) take() (err error) {
	if err := l.clear(); err != nil {
		return err
	}
	if l.file, err = os.CreateTemp(l.dir, leaseTempPrefix+"*"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			l.file.Close()
			os.Remove(l.file.Name())
		}
	}()
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if err := l.mayTake(info.ModTime()); err != nil { // by the file system's own clock
		return err
	}
	if _, err := tryLock(l.file); err != nil {
		return err
	}
	if l.text, err = json.Marshal(l.self); err != nil {
		return err
	}
	if _, err := l.file.Write(l.text); err != nil {
		return err
	}
	if err := l.file.Chmod(0o644); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(l.file.Name(), l.path()); err != nil {
		return err
	}
	return SyncDir(l.dir)
}

// clear removes what claimants that were killed left.
func (l *Lease) clear() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), leaseTempPrefix) {
			if err := os.Remove(filepath.Join(l.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// renew shows that the holder lives, and looks whether it still is one.
func (l *Lease) renew() {
	tick := time.NewTicker(time.Duration(l.self.Timeout * float64(time.Second) / 4))
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
		}
		if errors.Is(l.Check(), ErrLeaseLost) {
			close(l.lost)
			return
		}
		_, _ = l.file.WriteAt(l.text, 0) // the same bytes: what counts is the time of change
	}
}

// Lost is closed when a renewal finds that the lease is gone.
func (l *Lease) Lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.lost
}

// Check says whether the lease is still this holder's; if not, the error is
// ErrLeaseLost and names the new holder. It costs one small read.
func (l *Lease) Check() error {
	if l == nil {
		return nil
	}
	text, err := os.ReadFile(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is gone", ErrLeaseLost, l.path())
	}
	if err != nil {
		return fmt.Errorf("check lease: %w", err)
	}
	if bytes.Equal(text, l.text) {
		return nil
	}
	var now Holder
	if err := json.Unmarshal(text, &now); err != nil {
		return fmt.Errorf("%w: %s is damaged: %w", ErrLeaseLost, l.path(), err)
	}
	return fmt.Errorf("%w: %s is now held by %s", ErrLeaseLost, l.dir, now)
}

// Release gives the lease back if it is still held. Later calls of Check say ErrLeaseLost.
func (l *Lease) Release() error {
	if l == nil {
		return nil
	}
	l.end()
	l.renewer.Wait()
	err := l.During(func() error { return os.Remove(l.path()) })
	l.file.Close()
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

// During runs f while nobody can take the lease away.
func (l *Lease) During(f func() error) error {
	if l == nil {
		return f()
	}
	return l.guarded(func() error {
		if err := l.Check(); err != nil {
			return err
		}
		return f()
	})
}

// guarded runs f while no other claimant or holder does. A process that was stopped inside
// is not waited for longer than a lease's timeout: another guard takes the place of its own.
// What it still does when it wakes up does no harm, as whoever took over has cleared its
// temporary names away, and a rename of them fails.
func (l *Lease) guarded(f func() error) error {
	path := filepath.Join(l.dir, guardName)
	var stuck os.FileInfo // the guard that was found locked, since when
	var since time.Time
	for ; ; time.Sleep(5 * time.Millisecond) {
		guard, info, err := tryGuard(path)
		if err != nil {
			return err
		}
		if guard != nil {
			defer guard.Close() // unlocks
			return f()
		}
		switch {
		case stuck == nil || !os.SameFile(stuck, info):
			stuck, since = info, time.Now()
		case time.Since(since).Seconds() > min(guardPatience.Seconds(), l.self.Timeout):
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

// tryGuard locks the guard; if somebody else has it, it is nil.
func tryGuard(path string) (*os.File, os.FileInfo, error) {
	guard, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	info, err := guard.Stat()
	free := false
	if err == nil {
		free, err = tryLock(guard)
	}
	if now, statErr := os.Stat(path); err == nil && free && statErr == nil && os.SameFile(info, now) {
		return guard, info, nil
	}
	return nil, info, errors.Join(err, guard.Close())
}
