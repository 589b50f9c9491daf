package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/disk"
	"so8t/native"
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
	text := err.Error()
	if outside, remedy := outsideCause(err); outside != "" {
		errType, text = outside, text+remedy
	}
	return temporal.NewNonRetryableApplicationError(text, errType, nil) // with the error as its cause the text would stand twice
}

// stopped reports whether an error only says that the work was told to stop.
func stopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// outsideCause is the error type of what a person must mend outside the run, else "", and what the error's own text leaves
// out about how.
func outsideCause(err error) (errType, remedy string) {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return contract.ErrDiskFull, ""
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ESTALE):
		return contract.ErrDisk, ""
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, native.ErrMemory):
		return contract.ErrMemory, ""
	case errors.Is(err, native.ErrNoDevice):
		return contract.ErrDevice, "; mend the GPU or its driver (nvidia-smi must list it) or start the worker on a host with a GPU, then resume"
	case errors.Is(err, native.ErrDevice):
		return contract.ErrDevice, "; then resume"
	}
	return "", ""
}

func needsPerson(err error) bool {
	errType, _ := outsideCause(err)
	return errType != ""
}

// outcome turns the error of an activity's work into the error that the activity returns to Temporal.
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
	case needsPerson(err):
		return fail(contract.ErrNoProgress, err)
	case errors.Is(err, fs.ErrPermission): // of the output directory, which the run could write to when it began
		return fail(contract.ErrDisk, err)
	case j.starts >= patience:
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("failed %d times, last with: %v", j.starts, err), contract.ErrNoProgress, nil)
	}
	return err
}
