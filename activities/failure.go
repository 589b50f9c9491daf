package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/disk"
)

// patience is how many starts may fail in the same place before a person is asked.
const patience = 5

// fail makes an error of the given contract type, which no retry can help.
func fail(errType string, err error) error {
	if err == nil {
		return nil
	}
	var already *temporal.ApplicationError
	if errors.As(err, &already) || stopped(err) {
		return err
	}
	if outside := outsideCause(err); outside != "" {
		errType = outside
	}
	return temporal.NewNonRetryableApplicationError(err.Error(), errType, nil) // a cause would say it all twice
}

// stopped reports whether an error only says that the work was told to stop.
func stopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// outsideCause is the error type of what a person must mend outside the run; else "".
func outsideCause(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return contract.ErrDiskFull
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ESTALE):
		return contract.ErrDisk
	case errors.Is(err, syscall.ENOMEM), strings.Contains(err.Error(), "out of memory"):
		return contract.ErrMemory
	}
	return ""
}

// outcome turns the error of an activity's work into what Temporal is told.
func (j *job) outcome(ctx context.Context, err error) error {
	var already *temporal.ApplicationError
	var held *disk.HeldError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &already):
		return err
	case errors.Is(err, disk.ErrLeaseLost), errors.Is(context.Cause(ctx), disk.ErrLeaseLost), errors.As(err, &held):
		return temporal.NewApplicationErrorWithOptions(err.Error(), contract.ErrLeaseLost, temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign, NextRetryDelay: time.Second})
	case j.workerStops():
		j.forgetStarts()
		return temporal.NewApplicationErrorWithOptions("the worker stops; the next one goes on", contract.ErrShutdown, temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign, NextRetryDelay: time.Second, Cause: err})
	case ctx.Err() != nil:
		j.forgetStarts()
		return context.Cause(ctx)
	case outsideCause(err) != "":
		return fail(outsideCause(err), err)
	case errors.Is(err, fs.ErrPermission): // of the output directory, which the run could write to when it began
		return fail(contract.ErrDisk, err)
	case j.starts >= patience:
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("failed %d times, last with: %v", j.starts, err), contract.ErrNoProgress, nil)
	}
	return err
}
