package schedule

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"so8t/contract"
)

// row is one printed property of a schedule.
type row struct{ name, text string }

func rowsOf(s client.Schedule) []row {
	in := inputOf(s.Action)
	failure := "the next night starts all the same"
	if s.Policy.PauseOnFailure {
		failure = "pauses the schedule"
	}
	set := "nothing"
	if len(in.Set) > 0 {
		// Through JSON, as on the server: 1 and 1.0 are the same number there.
		text, _ := json.Marshal(in.Set)
		set = string(text)
	}
	zone := "none"
	if in.Nightly != nil {
		zone = in.Nightly.TimeZone
	}
	return []row{
		{"starts", when(s.Spec)},
		{"config", in.Config},
		{"set", set},
		{"dates", "of the directories are those of " + zone},
		{"overlap", s.Policy.Overlap.String()},
		{"catch-up", "within " + s.Policy.CatchupWindow.String()},
		{"a failure", failure},
	}
}

func equal(a, b []row) bool { return slices.Equal(a, b) }

// inputOf reads a run's input from an action, of this program or as the server describes it.
func inputOf(a client.ScheduleAction) (in contract.RunInput) {
	action, ok := a.(*client.ScheduleWorkflowAction)
	if !ok || len(action.Args) == 0 {
		return in
	}
	switch arg := action.Args[0].(type) {
	case contract.RunInput:
		return arg
	case *common.Payload:
		_ = converter.GetDefaultDataConverter().FromPayload(arg, &in) // what cannot be read counts as different
	}
	return in
}

// when is the time of day and the zone of a schedule like ours.
func when(spec *client.ScheduleSpec) string {
	if spec == nil || len(spec.Calendars) != 1 || len(spec.Intervals) > 0 || len(spec.CronExpressions) > 0 || len(spec.Skip) > 0 || spec.Jitter != 0 {
		return "at times set by hand"
	}
	c := spec.Calendars[0]
	hour, oneHour := only(c.Hour)
	minute, oneMinute := only(c.Minute)
	second, oneSecond := only(c.Second)
	if !oneHour || !oneMinute || (len(c.Second) > 0 && (!oneSecond || second != 0)) ||
		!whole(c.DayOfMonth, 1, 31) || !whole(c.Month, 1, 12) || !whole(c.DayOfWeek, 0, 6) || len(c.Year) > 0 {
		return "at times set by hand"
	}
	return fmt.Sprintf("every day at %02d:%02d %s", hour, minute, spec.TimeZoneName)
}

// only returns the number of ranges that hold just one.
func only(ranges []client.ScheduleRange) (n int, ok bool) {
	if len(ranges) != 1 || ranges[0].End > ranges[0].Start {
		return 0, false
	}
	return ranges[0].Start, true
}

// whole reports whether ranges cover everything, as no range at all does.
func whole(ranges []client.ScheduleRange, from, to int) bool {
	return len(ranges) == 0 || (len(ranges) == 1 && ranges[0].Start == from && ranges[0].End == to && ranges[0].Step <= 1)
}

const nextShown = 3

// print prints the schedule as it is now, what it was where that differs, and its next starts.
func (p plan) print(out io.Writer, before *client.Schedule, now *client.ScheduleDescription) {
	rows := rowsOf(now.Schedule)
	var was []row
	switch {
	case before == nil:
		fmt.Fprintf(out, "schedule %s made\n", p.id)
	case equal(rowsOf(*before), rows):
		fmt.Fprintf(out, "schedule %s is as it was\n", p.id)
	default:
		fmt.Fprintf(out, "schedule %s changed\n", p.id)
		was = rowsOf(*before)
	}
	for i, r := range rows {
		line := fmt.Sprintf("  %-10s %s", r.name, r.text)
		if was != nil && was[i].text != r.text {
			line += "  (was: " + was[i].text + ")"
		}
		fmt.Fprintln(out, line)
	}
	unpause := "bin/temporal schedule toggle --schedule-id " + p.id + " --unpause --reason mended"
	if state := now.Schedule.State; state != nil && state.Paused {
		fmt.Fprintln(out, strings.TrimRight("it is PAUSED, and starts nothing: "+state.Note, ": "))
		fmt.Fprintln(out, "to let it go on: "+unpause)
		return
	}
	fmt.Fprintf(out, "next, in %s:\n", p.zone)
	for _, at := range now.Info.NextActionTimes[:min(nextShown, len(now.Info.NextActionTimes))] {
		fmt.Fprintln(out, "  "+at.In(p.zone).Format("Mon 2006-01-02 15:04 MST"))
	}
	fmt.Fprintln(out, "While a night runs, or is paused and waits for resume, the nights that follow are left out.")
	if now.Schedule.Policy.PauseOnFailure {
		fmt.Fprintln(out, "After a night that failed none starts until: "+unpause)
	}
}
