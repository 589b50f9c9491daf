package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrLeaseLost says that this holder may no longer write: the lease was taken over or given back.
var ErrLeaseLost = errors.New("lease lost")

const (
	leaseName       = "lease.json"
	leaseTempPrefix = ".lease-"
)

// Lease is the right to write into a folder. Its methods may be called from several goroutines; a nil
// Lease allows everything.
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

// AcquireLease takes the lease of the folder dir, and creates the folder where there is none. It waits
// for a holder that does not renew until that holder's timeout has passed. The error is *HeldError if
// the holder renews and is of another owner, or not of an earlier attempt.
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

// AwaitFree returns nil once a later attempt of owner could take the folder's lease, and *HeldError if
// its holder lives. A folder without a lease is free.
func AwaitFree(ctx context.Context, dir, owner string) error {
	l := &Lease{dir: dir, self: Holder{Owner: owner, Attempt: 1 << 62}}
	l.self.Host, _ = os.Hostname()
	if _, err := os.Stat(l.path()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.await(ctx, func() error { return l.mayTake(time.Now()) })
}

// AwaitSilence is AwaitFree for a folder whose holder may only have paused between two leases: it also waits until no
// lease was taken or given back for so long.
func AwaitSilence(ctx context.Context, dir, owner string, silence time.Duration) error {
	for {
		if err := AwaitFree(ctx, dir, owner); err != nil {
			return err
		}
		age, err := sinceChange(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && age > silence {
			return nil
		}
		if err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// sinceChange is how long ago a file in dir was made or removed, by the clock of its file system.
func sinceChange(dir string) (time.Duration, error) {
	folder, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(dir), ".now-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return now.ModTime().Sub(folder.ModTime()), nil
}

// await calls try until it succeeds, fails by something else than a holder, or the holder renews.
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
		case statErr != nil: // released just now
		case first == nil:
			first = now
		case os.SameFile(first, now) && now.ModTime().After(first.ModTime()), !os.SameFile(first, now):
			return err
		}
		if ended := pause(ctx); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

func (l *Lease) path() string { return filepath.Join(l.dir, leaseName) }

// take puts a new lease.json in place, locked before its name exists.
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

// clear removes the temporary files of claimants that were killed.
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

// renew renews the lease until it is given back or lost.
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
		l.beat()
	}
}

// beat renews the lease: it writes the same bytes, as claimants look at the time of change.
func (l *Lease) beat() { _, _ = l.file.WriteAt(l.text, 0) }

// Lost is closed when a renewal finds that the lease is gone.
func (l *Lease) Lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.lost
}

// Check returns nil while this holder has the lease, else ErrLeaseLost, naming the new holder. It reads
// one small file.
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

// Release gives the lease back if it is still held. Check returns ErrLeaseLost from then on.
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

// During runs f if the lease is held, and nobody can take it over meanwhile.
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
