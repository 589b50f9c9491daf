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
	"so8t/device"
	"so8t/disk"
	"so8t/workflows"
)

type serveCommand struct {
	Host         string        `env:"SO8T_HOST" help:"Name under which this machine's files are found again; the machine's own by default."`
	ReplaceAfter time.Duration `env:"SO8T_REPLACE_AFTER" default:"15s" help:"A second worker of the same host stands by; it takes over at once from one that is gone, and after this time from one that shows no sign of life."`
}

// timeToLeave is what a worker that is told to stop gives its activities: a training step
// to finish, and a checkpoint to write.
const timeToLeave = 30 * time.Second

// Run serves until ctx ends.
func (s *serveCommand) Run(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	host := s.Host
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
	noted := newTasks()
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(noted.listen))
	temporal, err := connect(ctx, options, logger)
	if err != nil {
		return err
	}
	defer temporal.Close()
	work := &activities.Activities{Temporal: temporal, Host: host, Log: logger}
	work.SearchAttributes = func(ctx context.Context) bool {
		return addSearchAttributes(ctx, temporal, options.Namespace, logger)
	}
	work.SearchAttributes(ctx) // now, so that the first run need not wait for them

	shared := worker.New(temporal, contract.TaskQueue, worker.Options{WorkerStopTimeout: timeToLeave,
		StickyScheduleToStartTimeout: time.Second}) // how long a decision waits for a worker that is gone; what it saves is small
	for _, w := range []any{workflows.Retrain, workflows.Evaluate, workflows.Compare} {
		shared.RegisterWorkflow(w)
	}
	// A claim names the host whose queues do the rest, so it is taken only by the process
	// that serves them.
	mine, err := waitForHost(ctx, options, host, s.ReplaceAfter, logger)
	if err != nil {
		return err
	}
	defer mine.release()
	noted.keepAt(mine.path)
	mine.failLeftovers(ctx, temporal, options.Namespace, logger)
	work.RegisterShared(shared)
	beside := worker.New(temporal, contract.HostQueue(host), worker.Options{DisableWorkflowWorker: true, WorkerStopTimeout: timeToLeave})
	work.RegisterHost(beside)
	computing := worker.New(temporal, contract.DeviceQueue(host, device.Device{}), worker.Options{
		DisableWorkflowWorker: true, WorkerStopTimeout: timeToLeave,
		MaxConcurrentActivityExecutionSize: 1, // the device is one
	})
	work.RegisterDevice(computing)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-mine.lease.Lost():
			cancel(fmt.Errorf("host %s: %w", host, mine.lease.Check()))
		case <-ctx.Done():
		}
	}()
	if err := serve(ctx, logger, shared, beside, computing); err != nil {
		return err
	}
	logger.Info("stopped")
	if cause := context.Cause(ctx); errors.Is(cause, disk.ErrLeaseLost) {
		return cause // this process was away for so long that another took its place
	}
	return nil
}

// serve runs the workers until ctx ends, then stops them together: each has its whole
// time to leave.
func serve(ctx context.Context, logger *slog.Logger, workers ...worker.Worker) error {
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
	logger.Info("serving", "queue", contract.TaskQueue)
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

// connect waits for a server that is not up yet.
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
