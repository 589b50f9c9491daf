package rundir

import (
	"context"
	"fmt"
	"log/slog"

	"so8t/contract"
	"so8t/disk"
)

// Dir is an output directory that one attempt at a time may write into.
type Dir struct {
	Layout
	Lease *disk.Lease // on checkpoints, and thereby on the whole directory
	log   *slog.Logger
}

// Open takes the directory's lease for an attempt of the run, the later the larger; Close gives it back. The error is
// a *TakenOverError if another run became the owner meanwhile, and a *disk.HeldError if somebody else works there.
func Open(ctx context.Context, run contract.Run, attempt int64, log *slog.Logger) (*Dir, error) {
	l := Layout(run.OutputDir)
	lease, err := disk.AcquireLease(ctx, l.Checkpoints(), Claimant(run, attempt))
	// Asked under the lease, under which owners change. Without it the answer is only the better error.
	if taken := l.takenFrom(run); taken != nil {
		_ = lease.Release()
		return nil, taken
	}
	if err != nil {
		return nil, err
	}
	return &Dir{Layout: l, Lease: lease, log: log}, nil
}

// Claimant identifies an attempt of the run in a lease.
func Claimant(run contract.Run, attempt int64) disk.Claimant {
	return disk.Claimant{Owner: run.WorkflowID, Attempt: attempt, Timeout: run.Config.Checkpoint.HeartbeatTimeout()}
}

// Close gives the lease back. One that is left behind ends with the process.
func (d *Dir) Close() { _ = d.Lease.Release() }

// DirError says that output_dir cannot be used as it is configured.
type DirError struct{ Err error }

func (e *DirError) Error() string { return e.Err.Error() }
func (e *DirError) Unwrap() error { return e.Err }

func dirError(format string, args ...any) error { return &DirError{fmt.Errorf(format, args...)} }
