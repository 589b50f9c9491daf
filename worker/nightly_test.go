package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"so8t/contract"
)

const nightsID = "nightly-demo"

// schedule runs the command worker schedule with a small version of the demo.
func (c *cluster) schedule(out string, flags ...string) string {
	c.t.Helper()
	args := []string{"schedule", "--config", "configs/demo.yaml", "--time-zone", "Asia/Tokyo", "--output", out}
	in := c.settings(out, map[string]any{"training.num_train_epochs": 1, "promotion.alpha": 0.999999, "promotion.min_well_formed_rate": 0.001,
		"promotion.max_over_refusal_rate": 1, "promotion.max_false_allow_increase": 1, "nightly.keep": 1})
	for key, value := range in.Set {
		given := func(flag string) bool { return strings.HasPrefix(flag, "--set="+key+"=") }
		if key == "output_dir" || slices.ContainsFunc(flags, given) || (key == "data.input_path" && slices.Contains(flags, "--dataset")) {
			continue
		}
		args = append(args, fmt.Sprintf("--set=%s=%v", key, value))
	}
	command := exec.Command(c.binary, append(args, flags...)...)
	command.Dir, command.Env = root, append(os.Environ(), "TEMPORAL_ADDRESS="+c.server.FrontendHostPort(), "TEMPORAL_NAMESPACE=default")
	text, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v: %s", flags, err, text)
	}
	return string(text)
}

func (c *cluster) described() *client.ScheduleDescription {
	c.t.Helper()
	d, err := c.client.ScheduleClient().GetHandle(c.t.Context(), nightsID).Describe(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

var startedNow = regexp.MustCompile(`started now: (\S+);`)

// tonight is the run that a command started.
func (c *cluster) tonight(said string) client.WorkflowRun {
	c.t.Helper()
	id := startedNow.FindStringSubmatch(said)
	if id == nil {
		c.t.Fatalf("no run was started: %s", said)
	}
	return c.client.GetWorkflow(c.t.Context(), id[1], "")
}

func readLink(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// nights is a schedule on a cluster, and the folders that its nights write.
type nights struct {
	*cluster
	worker       *process
	out, current string
}

// A schedule of nights, on a real server, with real runs.
func TestNights(t *testing.T) {
	out := filepath.Join(t.TempDir(), "nights")
	n := &nights{cluster: newCluster(t), out: out, current: filepath.Join(out, "final_model", "current")}
	n.made(t)
	first := n.changedAndTriggered(t)
	n.worker = n.work()
	night := n.firstIsPromoted(t, first)
	n.secondIsPromoted(t, night)
	stands := readLink(t, n.current)
	n.thirdIsNotGoodEnough(t, stands)
	n.fourthFindsNoData(t, stands)
}

func (n *nights) made(t *testing.T) {
	if said := n.schedule(n.out, "--at=02:00"); !strings.HasPrefix(said, "schedule nightly-demo made\n") || strings.Count(said, "02:00 JST") != 3 {
		t.Error(said)
	}
	d := n.described()
	spec, policy := d.Schedule.Spec, d.Schedule.Policy
	if len(spec.Calendars) != 1 || spec.Calendars[0].Hour[0].Start != 2 || spec.Calendars[0].Minute[0].Start != 0 || spec.TimeZoneName != "Asia/Tokyo" {
		t.Errorf("%+v", spec)
	}
	if policy.Overlap != enums.SCHEDULE_OVERLAP_POLICY_SKIP || policy.CatchupWindow != 6*time.Hour || !policy.PauseOnFailure {
		t.Errorf("%+v", policy)
	}
	action := d.Schedule.Action.(*client.ScheduleWorkflowAction)
	var in contract.RunInput
	if err := converter.GetDefaultDataConverter().FromPayload(action.Args[0].(*common.Payload), &in); err != nil {
		t.Fatal(err)
	}
	if action.Workflow != "Retrain" || action.TaskQueue != contract.TaskQueue || in.Config != "configs/demo.yaml" || in.Set["output_dir"] != n.out ||
		in.Nightly == nil || in.Nightly.TimeZone != "Asia/Tokyo" {
		t.Errorf("%+v: %+v", action, in)
	}
}

// changedAndTriggered moves the schedule to another hour and starts the first night at once: no
// worker runs yet, so it is still running when the next one is asked for.
func (n *nights) changedAndTriggered(t *testing.T) (first client.WorkflowRun) {
	said := n.schedule(n.out, "--at=03:30", "--trigger-now")
	if !strings.HasPrefix(said, "schedule nightly-demo changed\n  starts     every day at 03:30 Asia/Tokyo  (was: every day at 02:00 Asia/Tokyo)\n") {
		t.Error(said)
	}
	first = n.tonight(said)
	said = n.schedule(n.out, "--at=03:30", "--trigger-now")
	if !strings.HasPrefix(said, "schedule nightly-demo is as it was\n") || !strings.Contains(said, "not started now: a night is still running") {
		t.Error(said)
	}
	if d := n.described(); d.Schedule.Spec.Calendars[0].Hour[0].Start != 3 || d.Info.NumActions != 1 || d.Info.NumActionsSkippedOverlap != 1 {
		t.Errorf("%+v", d.Info)
	}
	all, err := n.client.ScheduleClient().List(t.Context(), client.ScheduleListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for all.HasNext() {
		if one, err := all.Next(); err != nil || one.ID != nightsID {
			t.Errorf("another schedule: %+v, %v", one, err)
		}
	}
	return first
}

func (n *nights) firstIsPromoted(t *testing.T, run client.WorkflowRun) (night string) {
	result := n.finish(run, n.worker)
	night = filepath.Base(result.OutputDir)
	if filepath.Dir(result.OutputDir) != n.out || night != n.scheduledFor(run) {
		t.Errorf("trained into %s, scheduled for %s", result.OutputDir, n.scheduledFor(run))
	}
	if result.Compare.Verdict != "promote" || result.Compare.Promoted != n.current {
		t.Fatalf("%+v", result.Compare)
	}
	if to := readLink(t, n.current); to != filepath.Join("..", night, "final_model", "merged") {
		t.Errorf("current leads to %s", to)
	}
	if _, err := os.Stat(filepath.Join(n.current, "config.json")); err != nil {
		t.Error(err)
	}
	return night
}

// The second is better too: current moves, and the first, one too many now, goes.
func (n *nights) secondIsPromoted(t *testing.T, first string) {
	second := n.finish(n.tonight(n.schedule(n.out, "--at=03:30", "--trigger-now")), n.worker)
	night := filepath.Base(second.OutputDir)
	if to := readLink(t, n.current); night == first || to != filepath.Join("..", night, "final_model", "merged") {
		t.Errorf("current leads to %s, the second trained into %s", to, second.OutputDir)
	}
	if _, err := os.Stat(filepath.Join(n.out, first)); !os.IsNotExist(err) || !slices.Equal(second.Compare.Removed, []string{first}) {
		t.Errorf("keep 1: %v, removed %v", err, second.Compare.Removed)
	}
}

// The third is not good enough: current and the second night stay.
func (n *nights) thirdIsNotGoodEnough(t *testing.T, stands string) {
	said := n.schedule(n.out, "--at=03:30", "--trigger-now", "--set=promotion.min_accuracy_gain=1.0")
	third := n.finish(n.tonight(said), n.worker)
	if third.Compare.Verdict == "promote" || third.Compare.Promoted != "" || readLink(t, n.current) != stands {
		t.Errorf("%+v; current leads to %s", third.Compare, readLink(t, n.current))
	}
	if _, err := os.Stat(filepath.Join(n.current, "config.json")); err != nil || len(third.Compare.Removed) > 0 {
		t.Errorf("%v, removed %v", err, third.Compare.Removed)
	}
}

// The fourth finds no data: current stays, and the schedule is paused until a person looks.
func (n *nights) fourthFindsNoData(t *testing.T, stands string) {
	said := n.schedule(n.out, "--at=03:30", "--trigger-now", "--dataset", "/no/such/*.jsonl")
	n.failsWith(n.tonight(said), contract.ErrData, "/no/such/*.jsonl")
	n.untilPaused()
	if readLink(t, n.current) != stands {
		t.Errorf("current leads to %s", readLink(t, n.current))
	}
	if said := n.schedule(n.out, "--at=03:30"); !strings.Contains(said, "PAUSED") || strings.Contains(said, "JST") || !n.described().Schedule.State.Paused {
		t.Error(said)
	}
}

// scheduledFor is the name of the night for which the server says that it scheduled the run.
func (c *cluster) scheduledFor(run client.WorkflowRun) string {
	c.t.Helper()
	d, err := c.client.DescribeWorkflowExecution(c.t.Context(), run.GetID(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	var at time.Time
	payload := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()["TemporalScheduledStartTime"]
	if err := json.Unmarshal(payload.GetData(), &at); err != nil {
		c.t.Fatal(err)
	}
	return at.In(time.FixedZone("JST", 9*3600)).Format("2006-01-02T1504")
}

func (c *cluster) untilPaused() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	for !c.described().Schedule.State.Paused {
		select {
		case <-ctx.Done():
			c.t.Fatalf("a night failed, and the schedule goes on: %+v", c.described().Schedule.State)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
