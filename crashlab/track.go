package main

import (
	"strings"
	"time"

	"so8t/disk"
)

// track follows one run through its disturbances and the lines of its workers' logs. It reads no
// clock and draws nothing: the same timeline gives the same findings.
type track struct {
	run  string
	at   time.Time // of the newest progress
	back time.Time // when the processes were last started or woken

	event   string // the newest disturbance, until the run has gone on
	cause   string // the newest disturbance
	eventAt time.Time
	anew    bool // only a new attempt's progress counts: the former attempt may go on for a moment
	unsaved int  // disturbances since something was saved

	attempt  *process             // that trains
	began    int                  // step at which it began
	steps    map[int]time.Time    // completed steps of that attempt, by number; began included
	longest  time.Duration        // step
	batch    map[string]time.Time // by model: newest saved batch of its evaluation, or the evaluation's beginning
	loading  time.Duration        // of the model, by the newest attempt
	training bool
}

// disturbed notes a disturbance, to which what the logs show next is attributed.
func (t *track) disturbed(name string, now time.Time) {
	t.unsaved++
	t.cause, t.event, t.eventAt, t.back, t.anew = name, name, now, now, false
}

// goesOn reports whether something was done since the processes came back.
func (t *track) goesOn() bool { return t.event == "" || t.at.After(t.back) }

// progress are the log messages of work that need not be done again.
var progress = set("run claimed", "split", "step", "validation", "checkpoint", "epoch is done already",
	"done already", "exported", "evaluated batch", "evaluated", "compared")

// beginnings are the log messages with which an attempt of an activity begins.
var beginnings = set("run claimed", "split", "training", "epoch is done already", "done already", "evaluating", "compared")

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// see takes in a line of a worker's log and returns what it tells about the disturbances.
func (t *track) see(by *process, s sight) (found []finding) {
	switch s.msg {
	case "model ready":
		t.loading, _ = time.ParseDuration(s.attr["loaded_in"])
	case "training":
		found = append(found, t.resumed(s.number("step"))...)
		t.attempt, t.began, t.training = by, s.number("step"), true
		t.steps = map[int]time.Time{t.began: s.at}
	case "step":
		if by == t.attempt {
			n := s.number("step")
			if before, ok := t.steps[n-1]; ok {
				t.longest = max(t.longest, s.at.Sub(before))
			}
			t.steps[n] = s.at
		}
	case "evaluating", "evaluated batch":
		t.training = false
		found = append(found, t.evaluates(s)...)
	case "checkpoint rejected":
		found = append(found, rejected{s.line})
	}
	if beginnings[s.msg] {
		t.anew = false
	}
	if !progress[s.msg] || t.anew {
		return found
	}
	t.at = s.at
	if s.msg != "step" && s.msg != "validation" {
		t.unsaved = 0
	}
	if t.event != "" && s.at.After(t.back) {
		found = append(found, wentOn{t.event, s.at.Sub(t.back), t.loading, s.msg == "step"})
		t.event = ""
	}
	return found
}

// resumed tells what training repeats: the steps from the one at which it resumes to the last one completed.
func (t *track) resumed(step int) []finding {
	if t.steps == nil {
		return nil
	}
	last, lastAt := step, t.steps[step]
	for n, at := range t.steps {
		if n > last {
			last, lastAt = n, at
		}
	}
	begin, known := t.steps[step]
	switch {
	case last == step:
		return []finding{repeated{t.cause, 0, 0, t.longest}}
	case known:
		return []finding{repeated{t.cause, lastAt.Sub(begin), last - step, t.longest}}
	default:
		return []finding{lost{step, last}}
	}
}

// evaluates tells what an evaluation repeats: the time from its last saved batch to the disturbance.
func (t *track) evaluates(s sight) (found []finding) {
	model := s.attr["model"]
	if t.batch == nil {
		t.batch = map[string]time.Time{}
	}
	if before, ok := t.batch[model]; ok && s.msg == "evaluating" {
		found = []finding{evaluatedAgain{t.cause, max(0, t.eventAt.Sub(before))}}
	}
	t.batch[model] = s.at
	return found
}

// endOfTraining is the step after which the last epoch may end, and export begin, at any moment.
const endOfTraining = 240

// pointsAhead lists the crash points that the run may come to next.
func (t *track) pointsAhead() (points []string) {
	var prefixes []string
	switch {
	case t.steps == nil:
		prefixes = []string{"split.", "dir.", "lease.", "activity.", "temporal.", "file."}
	case t.training:
		prefixes = []string{"checkpoint.", "file.", "lease.", "activity.", "temporal."}
		if t.began+len(t.steps) > endOfTraining {
			prefixes = append(prefixes, "export.", "dir.", "evaluate.")
		}
	default:
		prefixes = []string{"export.", "evaluate.", "dir.", "file.", "activity.", "temporal."}
	}
	for _, point := range disk.CrashPoints {
		for _, p := range prefixes {
			if strings.HasPrefix(point, p) {
				points = append(points, point)
			}
		}
	}
	return points
}
