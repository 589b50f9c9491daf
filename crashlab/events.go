package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
)

// event is a disturbance. do reports false where it was not possible just then.
type event struct {
	name   string
	weight int
	counts bool // do counts itself, under the name of what came of it
	do     func(*lane, context.Context) (bool, error)
}

var events = []event{
	{"kill -9 worker", 22, false, (*lane).killWorker},
	{"kill -9 server", 7, false, (*lane).killServer},
	{"kill -9 both", 9, false, (*lane).killBoth},
	{"SIGTERM", 9, false, (*lane).terminate},
	{"stopped and woken", 5, false, (*lane).zombie},
	{"activity pause", 7, false, (*lane).pauseActivity},
	{"workflow reset", 7, false, (*lane).reset},
	{"at a crash point", 34, true, (*lane).crashAtPoint},
}

// draw chooses among events by their weights.
func draw(rng *rand.Rand, events []event) event {
	whole := 0
	for _, e := range events {
		whole += e.weight
	}
	at := rng.IntN(whole)
	for _, e := range events {
		if at -= e.weight; at < 0 {
			return e
		}
	}
	panic("weights do not add up")
}

// drawPoint chooses a crash point, and at which passing of it the worker is to die: a run passes
// those of files and checkpoints often.
func drawPoint(rng *rand.Rand, points []string) (point string, times int) {
	point, times = points[rng.IntN(len(points))], 1
	if strings.HasPrefix(point, "file.") || strings.HasPrefix(point, "checkpoint.") {
		times += rng.IntN(4)
	}
	return point, times
}

// drawOutage is how long something stays dead: mostly not at all, at times for longer than the
// worker repeats an activity's report.
func drawOutage(rng *rand.Rand) time.Duration {
	if rng.IntN(12) == 0 {
		return 12 * time.Second
	}
	return time.Duration(rng.IntN(700)) * time.Millisecond
}

// happens attributes what the logs show next to the event.
func (l *lane) happens(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.disturbed(name, time.Now())
}

func (l *lane) killWorker(ctx context.Context) (bool, error) {
	l.worker.kill()
	l.happens("kill -9 worker")
	return true, l.startWorker("")
}

func (l *lane) killServer(ctx context.Context) (bool, error) {
	l.server.kill()
	l.happens("kill -9 server")
	time.Sleep(drawOutage(l.rng))
	err := l.startServer(ctx)
	l.mu.Lock()
	l.seen.back = time.Now()
	l.mu.Unlock()
	return true, err
}

func (l *lane) killBoth(ctx context.Context) (bool, error) {
	l.server.kill()
	l.worker.kill()
	l.happens("kill -9 both")
	time.Sleep(drawOutage(l.rng))
	if err := l.startServer(ctx); err != nil {
		return true, err
	}
	return true, l.startWorker("")
}

func (l *lane) terminate(ctx context.Context) (bool, error) {
	l.worker.signal(syscall.SIGTERM)
	if !l.worker.gone(time.Minute) {
		return true, fmt.Errorf("told to stop, the worker is still there after a minute: see %s", l.worker.log)
	}
	if code := l.worker.exitCode(); code != 0 && !l.worker.metItsPoint() {
		return true, fmt.Errorf("told to stop, the worker ended with %d: see %s", code, l.worker.log)
	}
	l.happens("SIGTERM")
	return true, l.startWorker("")
}

// zombie stops the worker for longer than its heartbeat timeout, lets another take over, and wakes it.
func (l *lane) zombie(ctx context.Context) (bool, error) {
	first := l.worker
	first.signal(syscall.SIGSTOP)
	l.happens("stopped and woken")
	time.Sleep(heartbeatTimeout*time.Second + 500*time.Millisecond)
	first.retired.Store(true)
	if err := l.startWorker(""); err != nil {
		return true, err
	}
	if err := l.untilProgress(ctx); err != nil {
		return true, err
	}
	first.signal(syscall.SIGCONT)
	for end := time.Now().Add(time.Minute); !first.gone(100 * time.Millisecond); {
		if said, _ := os.ReadFile(first.log); bytes.Contains(said, []byte("standing by")) { // stopped before it had the host
			first.kill()
		}
		if time.Now().Before(end) {
			continue
		}
		return true, fmt.Errorf("woken after another took over, the worker goes on: see %s", first.log)
	}
	return true, nil
}

func (l *lane) pauseActivity(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, untilStuck)
	defer cancel()
	answer, err := l.client.DescribeWorkflowExecution(ctx, l.run, "")
	if err != nil || len(answer.GetPendingActivities()) == 0 {
		return false, nil
	}
	id := answer.GetPendingActivities()[0].GetActivityId()
	execution := &common.WorkflowExecution{WorkflowId: l.run, RunId: answer.GetWorkflowExecutionInfo().GetExecution().GetRunId()}
	service := l.client.WorkflowService()
	if _, err := service.PauseActivity(ctx, &workflowservice.PauseActivityRequest{Namespace: "default", Execution: execution,
		Activity: &workflowservice.PauseActivityRequest_Id{Id: id}}); err != nil {
		return false, nil // it ended just now
	}
	time.Sleep(time.Duration(500+l.rng.IntN(2000)) * time.Millisecond)
	l.happens("activity pause")
	_, err = service.UnpauseActivity(ctx, &workflowservice.UnpauseActivityRequest{Namespace: "default", Execution: execution,
		Activity: &workflowservice.UnpauseActivityRequest_Id{Id: id}})
	if err != nil {
		var ended *serviceerror.NotFound
		var passed *serviceerror.InvalidArgument
		if errors.As(err, &ended) || errors.As(err, &passed) {
			return true, nil // it ended before it learned of the pause
		}
	}
	return true, err
}

// reset takes the workflow back to an earlier workflow task.
func (l *lane) reset(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, untilStuck)
	defer cancel()
	var decisions []int64
	history := l.client.GetWorkflowHistory(ctx, l.run, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		if err != nil {
			return false, nil
		}
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			decisions = append(decisions, e.GetEventId())
		}
	}
	if len(decisions) == 0 {
		return false, nil
	}
	l.happens("workflow reset")
	l.mu.Lock()
	l.seen.anew = true
	l.mu.Unlock()
	_, err := l.client.ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{Namespace: "default",
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: l.run}, Reason: "crash laboratory", RequestId: fmt.Sprint(l.rng.Uint64()),
		WorkflowTaskFinishEventId: decisions[l.rng.IntN(len(decisions))]})
	if err != nil {
		if done, _ := l.over(ctx); done {
			return false, nil
		}
	}
	return true, err
}

// crashAtPoint has the next worker kill itself at a crash point.
func (l *lane) crashAtPoint(ctx context.Context) (bool, error) {
	l.mu.Lock()
	ahead := l.seen.pointsAhead()
	l.mu.Unlock()
	point, times := drawPoint(l.rng, ahead)
	l.worker.kill()
	l.happens("kill -9 worker")
	l.ledger.happened("kill -9 worker")
	if err := l.startWorker(fmt.Sprintf("%s:%d", point, times)); err != nil {
		return true, err
	}
	for end := time.Now().Add(6 * time.Second); l.worker.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return false, nil // it did not get there; the kill before it is counted
		}
	}
	if code := l.worker.exitCode(); !l.worker.metItsPoint() {
		return true, fmt.Errorf("the worker ended with %d: see %s", code, l.worker.log)
	}
	name := "at " + point
	l.ledger.happened(name)
	l.happens(name)
	return true, l.startWorker("")
}

// untilSaved waits for a run that was disturbed twice since it last saved to save again.
func (l *lane) untilSaved(ctx context.Context) error {
	for end := time.Now().Add(untilStuck); ; time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		unsaved := l.seen.unsaved
		l.mu.Unlock()
		if unsaved < 2 {
			return nil
		}
		if !l.worker.alive() {
			if err := l.startWorker(""); err != nil {
				return err
			}
		}
		if done, err := l.over(ctx); done || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("run stuck: %s: %s", l.run, l.whereabouts(ctx))
		}
	}
}

// untilProgress waits until something was done since the processes came back.
func (l *lane) untilProgress(ctx context.Context) error {
	for end := time.Now().Add(untilStuck); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		goes := l.seen.goesOn()
		l.mu.Unlock()
		if goes {
			return nil
		}
		if !l.worker.alive() && l.armed != "" {
			return nil // it reached its crash point late
		}
		if time.Now().After(end) {
			return fmt.Errorf("run stuck: %s: %s", l.run, l.whereabouts(ctx))
		}
		if time.Now().UnixMilli()%20 == 0 {
			if done, err := l.over(ctx); done || err != nil {
				return err
			}
		}
	}
}
