package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"

	"so8t/activities"
	"so8t/contract"
	"so8t/disk"
	"so8t/workflows"
)

type runCommand struct {
	Host         string        `env:"SO8T_HOST" help:"Name under which this machine's files are found again; the machine's own by default."`
	ReplaceAfter time.Duration `env:"SO8T_REPLACE_AFTER" default:"15s" help:"Silence after which a standby of the host takes over; from a dead worker at once."`
}

// timeToLeave is how long a worker that is told to stop waits for its activities to finish a training
// step and write a checkpoint.
const timeToLeave = 30 * time.Second

// Run takes tasks from the server and works on them until ctx ends.
func (r *runCommand) Run(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	host := r.Host
	if host == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name of this machine: %w; give one with --host", err)
		}
		host = name
	}
	options, err := clientOptions(logger)
	if err != nil {
		return err
	}
	open := newTasks()
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(open.listen))
	temporal, err := connect(ctx, options, logger)
	if err != nil {
		return err
	}
	defer temporal.Close()
	work := &activities.Activities{Temporal: temporal, Host: host, Log: logger}
	work.SearchAttributes = func(ctx context.Context) bool {
		return addSearchAttributes(ctx, temporal, options.Namespace, logger)
	}
	work.SearchAttributes(ctx) // now, so that the first run does not wait for them

	shared := worker.New(temporal, contract.TaskQueue, worker.Options{WorkerStopTimeout: timeToLeave,
		StickyScheduleToStartTimeout: time.Second}) // short: replaying a history is cheaper than waiting for a worker that is gone
	for _, w := range []any{workflows.Retrain, workflows.Evaluate, workflows.Compare} {
		shared.RegisterWorkflow(w)
	}
	// A claim names the host whose queues carry out the rest, so only the process that polls those
	// queues may execute one.
	mine, err := waitForHost(ctx, options, host, r.ReplaceAfter, logger)
	if err != nil {
		return err
	}
	defer mine.release()
	open.noteIn(mine.path)
	mine.failLeftovers(ctx, temporal, options.Namespace, logger)
	work.RegisterShared(shared)
	beside := worker.New(temporal, contract.HostQueue(host), worker.Options{DisableWorkflowWorker: true, WorkerStopTimeout: timeToLeave})
	work.RegisterHost(beside)
	workers := []worker.Worker{shared, beside}
	for _, d := range activities.Devices() {
		computing := worker.New(temporal, contract.DeviceQueue(host, d), worker.Options{
			DisableWorkflowWorker: true, WorkerStopTimeout: timeToLeave,
			MaxConcurrentActivityExecutionSize: 1, // one run at a time has the device
		})
		work.RegisterDevice(computing)
		workers = append(workers, computing)
		logger.Info("device", "queue", contract.DeviceQueue(host, d), "device", d.String())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-mine.lease.Lost():
			cancel(fmt.Errorf("host %s: %w", host, mine.lease.Check()))
		case <-ctx.Done():
		}
	}()
	if err := runWorkers(ctx, logger, workers...); err != nil {
		return err
	}
	logger.Info("stopped")
	if cause := context.Cause(ctx); errors.Is(cause, disk.ErrLeaseLost) {
		return cause // another process took the host over: this one did not renew its lease in time
	}
	return nil
}

// runWorkers runs the workers until ctx ends, then stops them side by side: each has the whole
// timeToLeave.
func runWorkers(ctx context.Context, logger *slog.Logger, workers ...worker.Worker) error {
	for i, w := range workers {
		for {
			err := w.Start()
			if err == nil {
				break
			}
			logger.Warn("worker cannot start yet", "error", err)
			select {
			case <-ctx.Done():
				for _, started := range workers[:i] {
					started.Stop()
				}
				return nil
			case <-time.After(2 * time.Second):
			}
		}
	}
	logger.Info("running", "queue", contract.TaskQueue)
	<-ctx.Done()
	logger.Info("stopping: running activities save their state", "within", timeToLeave.String())
	done := make(chan struct{})
	for _, w := range workers {
		go func() {
			w.Stop()
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
	return nil
}

// connect dials until the server answers: it may come up after the worker.
func connect(ctx context.Context, options client.Options, logger *slog.Logger) (client.Client, error) {
	for tries := 0; ; tries++ {
		c, err := client.DialContext(ctx, options)
		if err == nil {
			logger.Info("connected", "server", options.HostPort, "namespace", options.Namespace)
			return c, nil
		}
		if tries%30 == 0 {
			logger.Info("waiting for the Temporal server", "server", options.HostPort, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
