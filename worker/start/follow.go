package start

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"so8t/contract"
)

const lookEvery = time.Second

// follow shows the run until it ends or ctx does, which leaves it running.
func follow(ctx context.Context, server client.Client, id string, s *screen) error {
	for lost := false; ; {
		p, running, err := look(ctx, server, id)
		switch {
		case ctx.Err() != nil:
			s.leave(id)
			return nil
		case err != nil && !temporary(err):
			return fmt.Errorf("run %s: %w", id, err)
		case err != nil && !lost:
			lost = true
			s.say("the Temporal server does not answer; trying on")
		case err == nil:
			lost = false
			if !running {
				return finish(ctx, server, id, s)
			}
			s.show(p)
		}
		select {
		case <-ctx.Done():
			s.leave(id)
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// look asks how far the run is: the workflow knows the phase and whether it is paused, the
// heartbeat of the running activity has the newest figures.
func look(ctx context.Context, server client.Client, id string) (p contract.Progress, running bool, err error) {
	d, err := server.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return p, false, err
	}
	if d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return p, false, nil
	}
	beat := newestBeat(d.GetPendingActivities())
	qctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := server.QueryWorkflow(qctx, id, "", contract.QueryProgress)
	if err == nil {
		err = answer.Get(&p)
	}
	if err != nil { // no worker answers just now
		return beat, true, nil
	}
	if beat.At.After(p.At) && beat.Phase == p.Phase {
		beat.Paused, beat.Why, beat.Stopping, beat.Notes = p.Paused, p.Why, p.Stopping, p.Notes
		p = beat
	}
	return p, true, nil
}

func newestBeat(pending []*workflow.PendingActivityInfo) (newest contract.Progress) {
	for _, a := range pending {
		var p contract.Progress
		if decode(a.GetHeartbeatDetails(), &p) == nil && p.At.After(newest.At) {
			newest = p
		}
	}
	return newest
}

func decode(payloads *common.Payloads, into any) error {
	if len(payloads.GetPayloads()) == 0 {
		return errors.New("no details")
	}
	return converter.GetDefaultDataConverter().FromPayloads(payloads, into)
}

// finish prints the result of the run; the error of a failed run is one line.
func finish(ctx context.Context, server client.Client, id string, s *screen) error {
	var result contract.Result
	err := server.GetWorkflow(ctx, id, "").Get(ctx, &result)
	var (
		failed     *temporal.ApplicationError
		cancelled  *temporal.CanceledError
		terminated *temporal.TerminatedError
	)
	switch {
	case err == nil:
		s.result(result)
		return nil
	case errors.As(err, &failed):
		return fmt.Errorf("run %s failed: %s: %s", id, failed.Type(), failed.Message())
	case errors.As(err, &cancelled):
		return fmt.Errorf("run %s was cancelled; start it again with the same output directory to go on from its newest checkpoint", id)
	case errors.As(err, &terminated):
		return fmt.Errorf("run %s was terminated; start it again with the same output directory to go on from its newest checkpoint", id)
	}
	return fmt.Errorf("run %s: %w", id, err)
}
