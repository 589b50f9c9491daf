package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
)

// registry finds the epoch that a workflow trains in this process.
type registry struct {
	mu     sync.Mutex
	orders map[string]chan saveOrder
}

// saveOrder asks for a checkpoint; done is buffered for the answer.
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
		case order := <-c: // it came after the last step, and would get no answer
			order.done <- saved{err: errNotTraining}
		default:
		}
	}
}

var errNotTraining = errors.New("no epoch of this run trains on this host at present")

// order asks the epoch of a workflow for a checkpoint.
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

// SaveNow has the epoch that trains in this process write a checkpoint after its current
// step. If no epoch trains here, for example just after a restart, Temporal retries.
func (a *Activities) SaveNow(ctx context.Context, in contract.SaveNowInput) (contract.SaveNowResult, error) {
	b := newBeat(ctx, a.Temporal)
	defer b.end()
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
