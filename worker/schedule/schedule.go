// Package schedule is the terminal's side of nightly runs: it creates or changes the Temporal Schedule
// that starts them.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/worker/start"
)

// Command creates a schedule, or changes the one with that id.
type Command struct {
	start.Input
	At             string        `required:"" placeholder:"HH:MM" help:"Time of day of every night's start."`
	TimeZone       string        `required:"" help:"Time zone of that time, as in Asia/Tokyo."`
	ScheduleID     string        `help:"Name of the schedule; by default nightly- and the config's name."`
	CatchupWindow  time.Duration `default:"6h" help:"A night that could not start on time, because the Temporal server was down, starts up to this much later."`
	PauseOnFailure bool          `default:"true" negatable:"" help:"After a night that failed, none starts until somebody unpauses the schedule."`
	TriggerNow     bool          `help:"Start a run at once as well."`
}

const (
	workflowType = "Retrain"
	patience     = 30 * time.Second // for the server to show a change
	lookEvery    = 200 * time.Millisecond
)

// plan is the schedule that the flags ask for.
type plan struct {
	id       string
	zone     *time.Location
	schedule client.Schedule
}

var timeOfDay = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

// plan checks the flags and makes the plan.
func (c *Command) plan() (p plan, err error) {
	in, err := c.RunInput()
	if err != nil {
		return p, err
	}
	if dir, _ := in.Set["output_dir"].(string); strings.Contains(dir, "{workflow_id}") {
		return p, fmt.Errorf("--output %s: each night has a dated directory of its own there; leave {workflow_id} out", dir)
	}
	if !timeOfDay.MatchString(c.At) {
		return p, fmt.Errorf("--at %q: want HH:MM, from 00:00 to 23:59", c.At)
	}
	in.Nightly = &contract.Nightly{TimeZone: c.TimeZone}
	if p.zone, err = in.Nightly.Zone(); err != nil {
		return p, fmt.Errorf("--time-zone: %w", err)
	}
	if c.CatchupWindow < time.Minute {
		return p, fmt.Errorf("--catchup-window %v: want a minute or more", c.CatchupWindow)
	}
	p.id = c.ScheduleID
	if p.id == "" {
		p.id = "nightly-" + c.Name()
	}
	var hour, minute int
	if _, err := fmt.Sscanf(c.At, "%d:%d", &hour, &minute); err != nil {
		return p, fmt.Errorf("--at %q: %w", c.At, err)
	}
	p.schedule = client.Schedule{
		Spec: &client.ScheduleSpec{TimeZoneName: c.TimeZone,
			Calendars: []client.ScheduleCalendarSpec{{Hour: []client.ScheduleRange{{Start: hour}}, Minute: []client.ScheduleRange{{Start: minute}}}}},
		Action: &client.ScheduleWorkflowAction{ID: p.id, Workflow: workflowType, Args: []any{in}, TaskQueue: contract.TaskQueue,
			StaticSummary: "nightly retrain by " + c.Config},
		Policy: &client.SchedulePolicies{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: c.CatchupWindow, PauseOnFailure: c.PauseOnFailure},
	}
	return p, nil
}

// Run creates or changes the schedule, and prints it.
func (c *Command) Run(ctx context.Context, dial start.Dial) error {
	p, err := c.plan()
	if err != nil {
		return err
	}
	server, err := dial(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	before, err := p.put(ctx, server.ScheduleClient())
	if err != nil {
		return err
	}
	handle := server.ScheduleClient().GetHandle(ctx, p.id)
	now, err := p.taken(ctx, handle)
	if err != nil {
		return err
	}
	p.print(os.Stdout, before, now)
	if c.TriggerNow {
		return trigger(ctx, os.Stdout, handle, now.Info)
	}
	return nil
}

// put creates the schedule or changes it; before is what it was, nil if it is new. Whether the
// schedule is paused, and whatever else a person has set, stays.
func (p plan) put(ctx context.Context, schedules client.ScheduleClient) (before *client.Schedule, err error) {
	s := p.schedule
	_, err = schedules.Create(ctx, client.ScheduleOptions{ID: p.id, Spec: *s.Spec, Action: s.Action,
		Overlap: s.Policy.Overlap, CatchupWindow: s.Policy.CatchupWindow, PauseOnFailure: s.Policy.PauseOnFailure})
	if err == nil {
		return nil, nil
	}
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil, fmt.Errorf("make schedule %s: %w", p.id, err)
	}
	var foreign error // Update wraps DoUpdate's error in several lines of its own
	update := func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		old := in.Description.Schedule
		action, ok := old.Action.(*client.ScheduleWorkflowAction)
		if !ok || action.Workflow != workflowType {
			foreign = fmt.Errorf("--schedule-id %s: a schedule of that name starts something else; choose another name", p.id)
			return nil, foreign
		}
		kept, wanted := *action, s.Action.(*client.ScheduleWorkflowAction)
		before = &client.Schedule{Spec: old.Spec, Action: &kept, Policy: old.Policy, State: old.State}
		changed := *action
		changed.ID, changed.Args, changed.TaskQueue, changed.StaticSummary = wanted.ID, wanted.Args, wanted.TaskQueue, wanted.StaticSummary
		return &client.ScheduleUpdate{Schedule: &client.Schedule{Spec: s.Spec, Action: &changed, Policy: s.Policy, State: old.State}}, nil
	}
	err = schedules.GetHandle(ctx, p.id).Update(ctx, client.ScheduleUpdateOptions{DoUpdate: update})
	if foreign != nil {
		return nil, foreign
	}
	if err != nil {
		return nil, fmt.Errorf("change schedule %s: %w", p.id, err)
	}
	return before, nil
}

// taken waits until the server describes the schedule as changed, which it does some time after it has accepted the change.
func (p plan) taken(ctx context.Context, handle client.ScheduleHandle) (now *client.ScheduleDescription, err error) {
	want := rowsOf(p.schedule)
	err = until(ctx, func() (bool, error) {
		now, err = handle.Describe(ctx)
		return err == nil && equal(rowsOf(now.Schedule), want) && len(now.Info.NextActionTimes) > 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("look at schedule %s: %w", p.id, err)
	}
	return now, nil
}

// trigger starts a run now, and prints which, or why none.
func trigger(ctx context.Context, out io.Writer, handle client.ScheduleHandle, before client.ScheduleInfo) error {
	if err := handle.Trigger(ctx, client.ScheduleTriggerOptions{}); err != nil {
		return fmt.Errorf("trigger schedule %s: %w", handle.GetID(), err)
	}
	var info client.ScheduleInfo
	err := until(ctx, func() (bool, error) {
		d, err := handle.Describe(ctx)
		if err != nil {
			return false, err
		}
		info = d.Info
		return info.NumActions > before.NumActions || info.NumActionsSkippedOverlap > before.NumActionsSkippedOverlap, nil
	})
	if err != nil {
		return fmt.Errorf("trigger schedule %s: %w", handle.GetID(), err)
	}
	if n := len(info.RecentActions); info.NumActions > before.NumActions && n > 0 && info.RecentActions[n-1].StartWorkflowResult != nil {
		fmt.Fprintf(out, "started now: %[1]s; bin/worker follow %[1]s shows it\n", info.RecentActions[n-1].StartWorkflowResult.WorkflowID)
		return nil
	}
	fmt.Fprintln(out, "not started now: a night is still running")
	return nil
}

func until(ctx context.Context, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the server has not taken it within %v", patience))
	defer cancel()
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
}
