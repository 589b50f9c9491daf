package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Claimant asks for a lease.
type Claimant struct {
	Owner   string        // the same for every attempt of one run
	Attempt int64         // of that owner; later attempts have larger numbers
	Timeout time.Duration // a holder that has not renewed for so long may be replaced
}

// Holder is who may write, as lease.json says it.
type Holder struct {
	Owner   string    `json:"owner"`
	Attempt int64     `json:"attempt"`
	Token   string    `json:"token"` // distinguishes two leases of the same attempt
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"time"`
	Timeout float64   `json:"timeout_seconds"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%q (process %d on %s, since %s)", h.Owner, h.PID, h.Host, h.Since.Format(time.RFC3339))
}

// HeldError says that a living holder has the lease.
type HeldError struct {
	Dir    string
	Holder Holder
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s is in use by %s", e.Dir, e.Holder) }

// yieldsTo decides whether a claimant may replace the holder, which last renewed silent ago.
func (h Holder) yieldsTo(claimant Holder, locked bool, silent time.Duration) bool {
	// Not every file system shares locks between hosts: of another host's holder only its renewals tell.
	dead := !locked && h.Host == claimant.Host
	superseded := h.Owner == claimant.Owner && h.Attempt < claimant.Attempt
	expired := h.Timeout > 0 && silent.Seconds() > h.Timeout
	return dead || superseded || expired
}

// mayTake returns nil if l may take the lease at the time now, and *HeldError if its holder lives.
func (l *Lease) mayTake(now time.Time) error {
	f, err := os.OpenFile(l.path(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // unlocks it too
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
	if !held.yieldsTo(l.self, !free, now.Sub(info.ModTime())) {
		return &HeldError{l.dir, held}
	}
	return nil
}
