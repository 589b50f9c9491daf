package checkpoint

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"so8t/engine/safetensors"
)

const (
	leaseName       = "lease.json"
	leaseTempPrefix = ".lease-"
	guardName       = ".guard" // locked for moments: takeovers and commits exclude each other
	guardTimeout    = 10 * time.Second
)

// Holder says who may write. It is what lease.json holds.
type Holder struct {
	Owner   string    `json:"owner"`
	Attempt int       `json:"attempt"`
	Token   string    `json:"token"` // distinguishes two takings of the same lease
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"time"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%q, attempt %d (process %d on %s, since %s)", h.Owner, h.Attempt, h.PID, h.Host, h.Since.Format(time.RFC3339))
}

// HeldError says that the lease is in living hands.
type HeldError struct {
	Dir    string
	Holder Holder
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s is in use by %s", e.Dir, e.Holder) }

// Lease is the right to write checkpoints into a folder. Holding it means
// holding a lock on lease.json, which ends with the process.
type Lease struct {
	dir  string
	self Holder
	file *os.File // lease.json as this holder wrote it, locked
}

// AcquireLease takes the lease of the checkpoint folder dir, creating the
// folder if need be. A free lease, one whose holder is dead, and one that a
// lower attempt of the same owner holds are taken; any other gives *HeldError.
func AcquireLease(dir, owner string, attempt int) (*Lease, error) {
	host, _ := os.Hostname() // for messages only
	l := &Lease{dir: dir, self: Holder{
		Owner: owner, Attempt: attempt, Token: rand.Text(),
		Host: host, PID: os.Getpid(), Since: time.Now().UTC(),
	}}
	err := makeDir(dir)
	if err == nil {
		err = l.guarded(func() error {
			if err := l.mayTake(); err != nil {
				return err
			}
			return l.take()
		})
	}
	if err != nil {
		return nil, fmt.Errorf("acquire lease: %w", err)
	}
	return l, nil
}

func (l *Lease) path() string { return filepath.Join(l.dir, leaseName) }

// mayTake looks at who holds the lease now.
func (l *Lease) mayTake() error {
	f, err := os.OpenFile(l.path(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // gives back the lock too
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	var held Holder
	if json.Unmarshal(text, &held) != nil {
		held.Owner = "unknown (lease.json is damaged)"
	}
	free, err := tryLock(f)
	if err != nil {
		return err
	}
	superseded := held.Owner == l.self.Owner && held.Attempt < l.self.Attempt
	if !free && !superseded {
		return &HeldError{l.dir, held}
	}
	return nil
}

// take puts a new lease.json in place, locked before anybody can see it.
func (l *Lease) take() (err error) {
	if l.file, err = os.CreateTemp(l.dir, leaseTempPrefix+"*"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			l.file.Close()
			os.Remove(l.file.Name())
		}
	}()
	if _, err := tryLock(l.file); err != nil {
		return err
	}
	if err := json.NewEncoder(l.file).Encode(l.self); err != nil {
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
	return safetensors.SyncDir(l.dir)
}

// Check says whether the lease is still this holder's; if not, the error is
// ErrLeaseLost and names the new holder. It costs one small read. A nil Lease
// guards nothing and always holds.
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
	var now Holder
	if err := json.Unmarshal(text, &now); err != nil {
		return fmt.Errorf("%w: %s is damaged: %w", ErrLeaseLost, l.path(), err)
	}
	if now.Token != l.self.Token {
		return fmt.Errorf("%w: %s is now held by %s", ErrLeaseLost, l.dir, now)
	}
	return nil
}

// Release gives the lease back if it is still held. Later calls of Check say ErrLeaseLost.
func (l *Lease) Release() error {
	if l == nil {
		return nil
	}
	err := l.during(func() error { return os.Remove(l.path()) })
	l.file.Close()
	if errors.Is(err, ErrLeaseLost) {
		return nil
	}
	return err
}

// during runs f while nobody can take the lease away.
func (l *Lease) during(f func() error) error {
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

func (l *Lease) guarded(f func() error) error {
	path := filepath.Join(l.dir, guardName)
	guard, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer guard.Close() // unlocks
	for deadline := time.Now().Add(guardTimeout); ; time.Sleep(5 * time.Millisecond) {
		free, err := tryLock(guard)
		if err != nil {
			return err
		}
		if free {
			return f()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s stayed locked for %v", path, guardTimeout)
		}
	}
}

// tryLock takes an exclusive flock, which lasts until f is closed or its process is gone.
func tryLock(f *os.File) (free bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}
