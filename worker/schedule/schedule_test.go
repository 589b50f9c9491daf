package schedule

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"so8t/contract"
	"so8t/worker/start"
)

func command() *Command {
	return &Command{Input: start.Input{Config: "configs/demo.yaml", Dataset: "d/*.jsonl", Set: []string{"training.seed=1"}},
		At: "02:05", TimeZone: "Asia/Tokyo", CatchupWindow: 6 * time.Hour, PauseOnFailure: true}
}

func TestPlan(t *testing.T) {
	p, err := command().plan()
	if err != nil {
		t.Fatal(err)
	}
	action := p.schedule.Action.(*client.ScheduleWorkflowAction)
	want := contract.RunInput{Config: "configs/demo.yaml", Set: map[string]any{"data.input_path": "d/*.jsonl", "training.seed": 1},
		Nightly: &contract.Nightly{TimeZone: "Asia/Tokyo"}}
	if p.id != "nightly-demo" || action.ID != p.id || action.TaskQueue != contract.TaskQueue || !reflect.DeepEqual(action.Args, []any{want}) {
		t.Errorf("%s: %+v", p.id, action)
	}
	if p.schedule.Policy.Overlap != enums.SCHEDULE_OVERLAP_POLICY_SKIP {
		t.Errorf("%+v", p.schedule.Policy)
	}
	if got := when(p.schedule.Spec); got != "every day at 02:05 Asia/Tokyo" {
		t.Error(got)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Command){
		`--at "2:05": want HH:MM`:                    func(c *Command) { c.At = "2:05" },
		`--at "24:00": want HH:MM`:                   func(c *Command) { c.At = "24:00" },
		`--at "02:60": want HH:MM`:                   func(c *Command) { c.At = "02:60" },
		`--time-zone: "JST-9" names no time zone`:    func(c *Command) { c.TimeZone = "JST-9" },
		`--time-zone: "" names no time zone`:         func(c *Command) { c.TimeZone = "" },
		`--time-zone: "Local" names no time zone`:    func(c *Command) { c.TimeZone = "Local" },
		`--catchup-window 59s: want a minute`:        func(c *Command) { c.CatchupWindow = 59 * time.Second },
		`--output o/{workflow_id}: each night has a`: func(c *Command) { c.Output = "o/{workflow_id}" },
		`set training.seed: given twice`:             func(c *Command) { c.Set = append(c.Set, "training.seed=2") },
	} {
		c := command()
		change(c)
		if _, err := c.plan(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want …%s… in one line", err, want)
		}
	}
}

// described is a schedule as the server returns it.
func described(t *testing.T, c *Command) client.Schedule {
	t.Helper()
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	action := *p.schedule.Action.(*client.ScheduleWorkflowAction)
	payload, err := converter.GetDefaultDataConverter().ToPayload(action.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	action.Args = []any{payload}
	calendar := p.schedule.Spec.Calendars[0]
	calendar.Second = []client.ScheduleRange{{Step: 1}}
	calendar.DayOfMonth = []client.ScheduleRange{{Start: 1, End: 31, Step: 1}}
	calendar.Month = []client.ScheduleRange{{Start: 1, End: 12, Step: 1}}
	calendar.DayOfWeek = []client.ScheduleRange{{End: 6, Step: 1}}
	spec := *p.schedule.Spec
	spec.Calendars = []client.ScheduleCalendarSpec{calendar}
	return client.Schedule{Action: &action, Spec: &spec, Policy: p.schedule.Policy, State: &client.ScheduleState{}}
}

// What was sent and what the server describes are equal; a difference is found.
func TestRows(t *testing.T) {
	p, err := command().plan()
	if err != nil {
		t.Fatal(err)
	}
	mine := rowsOf(p.schedule)
	if got := rowsOf(described(t, command())); !equal(got, mine) {
		t.Errorf("%v\nsent as %v", got, mine)
	}
	for what, change := range map[string]func(*Command){
		"hour": func(c *Command) { c.At = "03:05" }, "minute": func(c *Command) { c.At = "02:06" }, "zone": func(c *Command) { c.TimeZone = "UTC" },
		"config": func(c *Command) { c.Config = "other.yaml" }, "set": func(c *Command) { c.Set = nil },
		"catch-up": func(c *Command) { c.CatchupWindow = time.Hour }, "failure": func(c *Command) { c.PauseOnFailure = false },
	} {
		c := command()
		change(c)
		if equal(rowsOf(described(t, c)), mine) {
			t.Errorf("another %s is not seen", what)
		}
	}
	for what, change := range map[string]func(*client.ScheduleCalendarSpec){
		"one day of the week": func(c *client.ScheduleCalendarSpec) {
			c.DayOfWeek = []client.ScheduleRange{{Start: 1, End: 1, Step: 1}}
		},
		"every second day": func(c *client.ScheduleCalendarSpec) { c.DayOfMonth[0].Step = 2 },
		"two hours":        func(c *client.ScheduleCalendarSpec) { c.Hour[0].End = c.Hour[0].Start + 1 },
	} {
		s := described(t, command())
		change(&s.Spec.Calendars[0])
		if got := when(s.Spec); got != "at times set by hand" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestPrint(t *testing.T) {
	p, err := command().plan()
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 11, 24, 17, 5, 0, 0, time.UTC)
	now := &client.ScheduleDescription{Schedule: described(t, command())}
	for i := range 5 {
		now.Info.NextActionTimes = append(now.Info.NextActionTimes, first.AddDate(0, 0, i))
	}
	earlier := command()
	earlier.At = "04:00"
	before, same := described(t, earlier), described(t, command())
	for want, b := range map[string]*client.Schedule{
		"schedule nightly-demo made\n": nil, "schedule nightly-demo is as it was\n": &same,
		"schedule nightly-demo changed\n  starts     every day at 02:05 Asia/Tokyo  (was: every day at 04:00 Asia/Tokyo)\n": &before,
	} {
		var out strings.Builder
		p.print(&out, b, now)
		if text := out.String(); !strings.HasPrefix(text, want) || strings.Count(text, "JST") != 3 || !strings.Contains(text, "Wed 2026-11-25 02:05 JST") ||
			!strings.Contains(text, "waits for resume, the nights that follow are left out") {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
	var out strings.Builder
	now.Schedule.State = &client.ScheduleState{Paused: true, Note: "paused due to workflow failure"}
	p.print(&out, &same, now)
	if text := out.String(); !strings.Contains(text, "PAUSED, and starts nothing: paused due to") || strings.Contains(text, "JST") ||
		!strings.Contains(text, "--schedule-id nightly-demo --unpause") {
		t.Error(text)
	}
}
