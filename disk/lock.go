package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const lockInterval = 50 * time.Millisecond // between two tries to get a lock that another process holds

// Lock waits for an exclusive lock on the file at path, creating it if need be. The lock lasts
// until unlock is called or the process ends.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		unlock, free, err := TryLock(path)
		if err != nil || free {
			return unlock, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause lasts until the next try, or until ctx ends.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lockInterval):
		return nil
	}
}

// TryLock is Lock without waiting: free is false if somebody else holds the lock.
func TryLock(path string) (unlock func(), free bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	free, err = tryLock(f)
	if err != nil || !free {
		return nil, false, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, true, nil
}

// tryLock takes an exclusive flock, which lasts until f is closed or its process ends.
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
