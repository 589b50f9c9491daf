package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
)

// registry finds the epoch that trains in this process, by workflow.
type registry struct {
	mu     sync.Mutex
	orders map[string]chan saveOrder
}

// saveOrder asks for a checkpoint; done has room for the answer.
type saveOrder struct{ done chan saved }

type saved struct {
	result contract.SaveNowResult
	err    error
}

func (r *registry) enter(workflowID string) (orders <-chan saveOrder, leave func()) {
	c := make(chan saveOrder, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.orders == nil {
		r.orders = map[string]chan saveOrder{}
	}
	r.orders[workflowID] = c
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.orders[workflowID] == c {
			delete(r.orders, workflowID)
		}
		select {
		case order := <-c: // came after the last step: nobody will answer
			order.done <- saved{err: errNotTraining}
		default:
		}
	}
}

var errNotTraining = errors.New("no epoch of this run trains on this host at present")

// order hands an order to the epoch of a workflow.
func (r *registry) order(workflowID string) (saveOrder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.orders[workflowID]
	if !ok {
		return saveOrder{}, errNotTraining
	}
	o := saveOrder{done: make(chan saved, 1)}
	select {
	case c <- o:
		return o, nil
	default:
		return saveOrder{}, errors.New("a checkpoint is being asked for already")
	}
}

// SaveNow has the epoch that trains in this process write a checkpoint after its present
// step. Where none does (the worker has just begun again, say), the server asks again.
func (a *Activities) SaveNow(ctx context.Context, in contract.SaveNowInput) (contract.SaveNowResult, error) {
	heart := newBeat(ctx, a.Temporal)
	defer heart.end()
	order, err := a.training.order(in.WorkflowID)
	if err != nil {
		return contract.SaveNowResult{}, temporal.NewApplicationErrorWithOptions(err.Error(), contract.ErrNotTraining,
			temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign})
	}
	select {
	case <-ctx.Done():
		return contract.SaveNowResult{}, context.Cause(ctx)
	case answer := <-order.done:
		if answer.err != nil {
			return contract.SaveNowResult{}, fmt.Errorf("checkpoint on request: %w", answer.err)
		}
		return answer.result, nil
	}
}
