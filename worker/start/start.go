// Package start is the terminal's side of a run: it submits one, shows its progress, and prints its
// result.
package start

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"so8t/configs"
	"so8t/contract"
)

// Dial connects to the Temporal server of the environment.
type Dial func(context.Context) (client.Client, error)

// Input is the input of a run, as flags.
type Input struct {
	Config    string   `required:"" help:"The run's YAML. Like all paths here: as the worker sees it."`
	BaseModel string   `help:"Instead of model.base_model_path."`
	Dataset   string   `help:"Instead of data.input_path; may be a glob."`
	Output    string   `help:"Instead of output_dir."`
	Set       []string `sep:"none" placeholder:"KEY=VALUE" help:"Override one key of the YAML, as in training.seed=1. May be repeated."`
}

// Command submits a run and follows it.
type Command struct {
	Input
	WorkflowID string `help:"Name of the run; by default the config's name and the time. A run of that name that is under way is followed."`
	Detach     bool   `help:"Submit, and do not wait."`
}

// Name of the config, without folder and extension.
func (c *Input) Name() string {
	return strings.TrimSuffix(filepath.Base(c.Config), filepath.Ext(c.Config))
}

// RunInput is the workflow's input.
func (c *Input) RunInput() (contract.RunInput, error) {
	set, err := configs.Overrides(map[string]string{"model.base_model_path": c.BaseModel, "data.input_path": c.Dataset, "output_dir": c.Output}, c.Set)
	return contract.RunInput{Config: c.Config, Set: set}, err
}

// Run submits a run and follows it.
func (c *Command) Run(ctx context.Context, dial Dial) error {
	in, err := c.RunInput()
	if err != nil {
		return err
	}
	server, err := dial(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	id := c.WorkflowID
	if id == "" {
		id = c.Name() + "-" + time.Now().Format("20060102-150405")
	}
	_, err = server.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: contract.TaskQueue,
		StaticSummary:                            "retrain by " + c.Config,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, "Retrain", in)
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &already):
		fmt.Printf("run %s is under way already\n", id)
	case err != nil:
		return fmt.Errorf("submit: %w", err)
	default:
		fmt.Printf("run %s submitted\n", id)
	}
	if c.Detach {
		return nil
	}
	warnWithoutWorker(ctx, server)
	return follow(ctx, server, id, newScreen(os.Stdout))
}

// Follow shows a run.
type Follow struct {
	WorkflowID string `arg:"" help:"Name of the run."`
}

// Run shows the run until it ends.
func (f *Follow) Run(ctx context.Context, dial Dial) error {
	server, err := dial(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	return follow(ctx, server, f.WorkflowID, newScreen(os.Stdout))
}

// warnWithoutWorker prints a line if no worker polls within a few seconds.
func warnWithoutWorker(ctx context.Context, server client.Client) {
	for range 10 {
		answer, err := server.DescribeTaskQueue(ctx, contract.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW)
		if err != nil || len(answer.GetPollers()) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(300 * time.Millisecond):
		}
	}
	fmt.Println("no worker polls the server yet; the run waits for one: bin/worker")
}
