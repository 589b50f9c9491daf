package rundir

import (
	"context"
	"fmt"
	"log/slog"

	"so8t/disk"
)

// Dir is an output directory that one attempt at a time may write into.
type Dir struct {
	Layout
	Lease *disk.Lease // on checkpoints, and thereby on the whole directory
	log   *slog.Logger
}

// Open takes the directory's lease; Close gives it back. If somebody else works there the error is a *disk.HeldError.
func Open(ctx context.Context, l Layout, c disk.Claimant, log *slog.Logger) (*Dir, error) {
	lease, err := disk.AcquireLease(ctx, l.Checkpoints(), c)
	if err != nil {
		return nil, err
	}
	return &Dir{Layout: l, Lease: lease, log: log}, nil
}

// Close gives the lease back. One that is left behind ends with the process.
func (d *Dir) Close() { _ = d.Lease.Release() }

// DirError says that output_dir cannot be used as it is configured.
type DirError struct{ Err error }

func (e *DirError) Error() string { return e.Err.Error() }
func (e *DirError) Unwrap() error { return e.Err }

func dirError(format string, args ...any) error { return &DirError{fmt.Errorf(format, args...)} }
