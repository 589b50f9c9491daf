package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"so8t/contract"
)

// scenarios are what a person does to a run during its first epoch, by name.
var scenarios = map[string]func(s *stage, run client.WorkflowRun) error{
	"undisturbed": func(*stage, client.WorkflowRun) error { return nil },
	"paused_and_resumed": func(s *stage, run client.WorkflowRun) error {
		if _, err := s.update(run, contract.VerbPause); err != nil {
			return err
		}
		_, err := s.update(run, contract.VerbResume)
		return err
	},
	"checkpointed_and_stopped": func(s *stage, run client.WorkflowRun) error {
		if _, err := s.update(run, contract.VerbCheckpoint); err != nil {
			return err
		}
		_, err := s.update(run, contract.VerbStop)
		return err
	},
	"paused_and_resumed_by_signal": func(s *stage, run client.WorkflowRun) error {
		if err := s.server.SignalWorkflow(context.Background(), run.GetID(), "", contract.VerbPause, nil); err != nil {
			return err
		}
		if err := s.await(run, func(p contract.Progress) bool { return p.Paused }); err != nil {
			return err
		}
		return s.server.SignalWorkflow(context.Background(), run.GetID(), "", contract.VerbResume, nil)
	},
	"disk_full": func(s *stage, run client.WorkflowRun) error {
		s.failing.Store(true)
		if err := s.await(run, func(p contract.Progress) bool { return p.Why != "" }); err != nil {
			return err
		}
		_, err := s.update(run, contract.VerbResume)
		return err
	},
	"long": func(s *stage, run client.WorkflowRun) error {
		s.hold.Store(true)
		defer s.hold.Store(false)
		return s.lengthen(run)
	},
	"long_and_paused_in_the_last_instant": inTheLastInstant(
		func(s *stage, run client.WorkflowRun) error {
			return s.server.SignalWorkflow(context.Background(), run.GetID(), "", contract.VerbPause, nil)
		},
		func(s *stage, run client.WorkflowRun) error {
			if err := s.await(run, func(p contract.Progress) bool { return p.Paused }); err != nil {
				return err
			}
			_, err := s.update(run, contract.VerbResume)
			return err
		}),
	"long_and_stopped_in_the_last_instant": inTheLastInstant(
		func(s *stage, run client.WorkflowRun) error {
			return s.server.SignalWorkflow(context.Background(), run.GetID(), "", contract.VerbStop, nil)
		},
		func(*stage, client.WorkflowRun) error { return nil }),
	"cancelled": func(s *stage, run client.WorkflowRun) error {
		return s.server.CancelWorkflow(context.Background(), run.GetID(), "")
	},
}

// lengthen makes a run's history long, by signals.
func (s *stage) lengthen(run client.WorkflowRun) error {
	for i := range longHistory {
		p := contract.Progress{Phase: contract.PhaseTrain, Detail: fmt.Sprint("signal ", i), Epoch: 1, Epochs: 2, Step: 1, Steps: 2 * stepsPlayed}
		if err := s.server.SignalWorkflow(context.Background(), run.GetID(), "", contract.SignalProgress, p); err != nil {
			return err
		}
	}
	return nil
}

// inTheLastInstant sends a command to a run with a long history between the end of its epoch and the next
// workflow task, which has both.
func inTheLastInstant(ask, then func(*stage, client.WorkflowRun) error) func(*stage, client.WorkflowRun) error {
	return func(s *stage, run client.WorkflowRun) error {
		s.hold.Store(true)
		defer s.hold.Store(false)
		s.decider.Stop()
		if err := errors.Join(s.lengthen(run), ask(s, run)); err != nil {
			return err
		}
		s.hold.Store(false)
		for training := true; training; time.Sleep(20 * time.Millisecond) {
			d, err := s.server.DescribeWorkflowExecution(context.Background(), run.GetID(), "")
			if err != nil {
				return err
			}
			training = len(d.GetPendingActivities()) > 0
		}
		if err := s.decide(); err != nil {
			return err
		}
		return then(s, run)
	}
}
