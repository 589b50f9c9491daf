package workflows

import (
	"encoding/json"

	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// Evaluate measures base and retrained model of a finished retrain again, with the
// evaluation section of the config it is given.
func Evaluate(ctx workflow.Context, input json.RawMessage) (*contract.Result, error) {
	return again(ctx, input, func(r *run) error {
		r.fresh = true
		if err := r.evaluate(ctx, "base"); err != nil {
			return err
		}
		return r.evaluate(ctx, "retrained")
	})
}

// Compare tests the two evaluations on disk against each other again, and promotes or not.
func Compare(ctx workflow.Context, input json.RawMessage) (*contract.Result, error) {
	return again(ctx, input, func(r *run) error { return r.compare(ctx) })
}

// again works on an output directory that a retrain of the same config has filled.
func again(ctx workflow.Context, input json.RawMessage, work func(*run) error) (*contract.Result, error) {
	r, err := begin(ctx, input, nil)
	if err == nil {
		err = r.claim(ctx, true)
	}
	if err == nil {
		err = work(r)
	}
	if err != nil {
		return nil, r.end(ctx, err)
	}
	return &r.result, r.end(ctx, nil)
}
