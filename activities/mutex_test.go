package activities

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
)

func TestKeyedMutex(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	work := func(ctx context.Context) error {
		var m keyedMutex
		unlock, err := m.lock(ctx, "a")
		if err != nil {
			return err
		}
		if other, err := m.lock(ctx, "b"); err != nil { // another key is free
			return err
		} else {
			other()
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if _, err := m.lock(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a held key: %v", err)
		}
		inside, next := 0, make(chan error)
		for range 8 {
			go func() {
				unlock, err := m.lock(ctx, "a")
				if err == nil {
					inside++ // under the mutex; the race detector would see two at once
					unlock()
				}
				next <- err
			}()
		}
		unlock()
		for range 8 {
			if err := <-next; err != nil {
				t.Error(err)
			}
		}
		if inside != 8 || len(m.held) != 0 {
			t.Errorf("%d were inside, %d keys are held", inside, len(m.held))
		}
		return nil
	}
	env.RegisterActivity(work)
	if _, err := env.ExecuteActivity(work); err != nil {
		t.Fatal(err)
	}
}
