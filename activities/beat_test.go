package activities

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/testsuite"

	"so8t/contract"
)

// beating runs an activity that beats for a while against a server.
func beating(t *testing.T, server Temporal, work func(ctx context.Context, b *beat) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	activity := func(ctx context.Context) error {
		b := newBeatEvery(ctx, server, 100*time.Millisecond)
		defer b.end()
		return work(ctx, b)
	}
	env.RegisterActivity(activity)
	_, err := env.ExecuteActivity(activity)
	return err
}

// A server that is away must not end training.
func TestBeatSurvivesAnAbsentServer(t *testing.T) {
	var beats atomic.Int32
	server := &fakeServer{
		beat:   func(...any) error { beats.Add(1); return serviceerror.NewUnavailable("away") },
		signal: func(any) error { return serviceerror.NewUnavailable("away") },
	}
	err := beating(t, server, func(ctx context.Context, b *beat) error {
		b.tell(contract.Progress{Phase: contract.PhaseTrain})
		for end := time.Now().Add(20 * time.Second); beats.Load() < 5 && time.Now().Before(end) && ctx.Err() == nil; {
			time.Sleep(10 * time.Millisecond)
		}
		return context.Cause(ctx)
	})
	if err != nil || beats.Load() < 5 {
		t.Fatalf("%v after %d beats", err, beats.Load())
	}
}

func TestBeatCarriesTheProgress(t *testing.T) {
	var mu sync.Mutex
	var last contract.Progress
	signals := 0
	server := &fakeServer{
		beat: func(details ...any) error {
			mu.Lock()
			defer mu.Unlock()
			last, _ = details[0].(contract.Progress)
			return nil
		},
		signal: func(any) error {
			mu.Lock()
			defer mu.Unlock()
			signals++
			return nil
		},
	}
	err := beating(t, server, func(ctx context.Context, b *beat) error {
		for i := range 10 {
			b.tell(contract.Progress{Phase: contract.PhaseTrain, Step: i + 1})
			time.Sleep(50 * time.Millisecond)
		}
		arrived := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return last.Step == 10
		}
		for end := time.Now().Add(20 * time.Second); !arrived() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
	if err != nil || last.Step != 10 || signals != 1 {
		t.Fatalf("%v; last step %d; %d signals, want one: the history must not grow with the steps", err, last.Step, signals)
	}
}

// What the server wants the activity to know is told through the SDK, once.
func TestBeatStopsAtAnAnswer(t *testing.T) {
	for _, answer := range []error{serviceerror.NewNotFound("gone"), errors.New("activity paused")} {
		var beats atomic.Int32
		server := &fakeServer{beat: func(...any) error { beats.Add(1); return answer }}
		_ = beating(t, server, func(ctx context.Context, b *beat) error {
			time.Sleep(500 * time.Millisecond)
			return nil
		})
		if beats.Load() != 1 {
			t.Errorf("%v: %d beats, want 1", answer, beats.Load())
		}
	}
}

func TestSignalsAreBounded(t *testing.T) {
	if got := signalInterval(0, 0); got != minSignalInterval {
		t.Error(got)
	}
	if got := signalInterval(4*time.Hour, 4*3600); got != 144*time.Second {
		t.Errorf("a night: every %v", got)
	}
	if got := signalInterval(100*time.Hour, 0); got != maxSignalInterval {
		t.Error(got)
	}
}
