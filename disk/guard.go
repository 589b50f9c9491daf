package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	guardName     = ".guard"         // locked for moments: takeovers and commits exclude each other
	guardPatience = 10 * time.Second // a commit may wait for a slow disk
)

// guarded runs f while no other claimant or holder of the folder's lease runs one. It waits at most
// a lease's timeout for a process that was stopped inside, then replaces the guard file. A process
// that wakes up inside does no harm: whoever took over has removed its temporary names, so that its
// renames fail.
func (l *Lease) guarded(f func() error) error {
	path := filepath.Join(l.dir, guardName)
	var stuck os.FileInfo // the guard found locked since
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

// tryGuard locks the guard file; nil if another process holds it, or has just replaced it.
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
