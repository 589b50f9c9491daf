package workflows

import (
	"encoding/json"

	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// Evaluate evaluates the base and the retrained model of a finished retrain again, with the evaluation
// section of its input's config.
func Evaluate(ctx workflow.Context, input json.RawMessage) (*contract.Result, error) {
	return again(ctx, input, func(r *run) error {
		r.fresh = true
		if err := r.evaluate(ctx, "base"); err != nil {
			return err
		}
		return r.evaluate(ctx, "retrained")
	})
}

// Compare compares the two evaluations on disk again, and promotes or rejects.
func Compare(ctx workflow.Context, input json.RawMessage) (*contract.Result, error) {
	return again(ctx, input, func(r *run) error { return r.compare(ctx) })
}

// again works on the output directory of a finished retrain with the same config.
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
