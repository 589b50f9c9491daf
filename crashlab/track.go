package main

import "time"

// track is what the logs tell of one run.
type track struct {
	run  string
	at   time.Time // of the newest progress
	back time.Time // when the processes were last started or woken

	event   string // the newest disturbance, until the run has gone on
	cause   string // the newest disturbance
	eventAt time.Time
	anew    bool // only what a new attempt does counts as progress: the former one may go on for a moment

	attempt  *process             // that trains
	began    int                  // step at which it began
	steps    map[int]time.Time    // completed steps of that attempt, by the step's number; began included
	longest  time.Duration        // step
	batch    map[string]time.Time // newest kept batch of an evaluation, or its beginning
	loading  time.Duration        // of the model, by the newest attempt
	training bool
	unsaved  int // disturbances since something was saved
}

// progress are the lines that say that something was done which need not be done again.
var progress = map[string]bool{"run claimed": true, "split": true, "step": true, "validation": true, "checkpoint": true, "epoch is done already": true,
	"done already": true, "exported": true, "evaluated batch": true, "evaluated": true, "compared": true}

// fresh are the lines with which an activity begins.
var fresh = map[string]bool{"run claimed": true, "split": true, "training": true, "epoch is done already": true, "done already": true, "evaluating": true, "compared": true}

// see takes in a line of a worker's log.
func (l *lane) see(p *process, line string) {
	s, ok := readLine(line)
	if !ok || p.retired.Load() || s.attr["workflow"] != l.run {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.seen
	switch s.msg {
	case "model ready":
		t.loading, _ = time.ParseDuration(s.attr["loaded_in"])
	case "training":
		l.resumed(s, s.number("step"))
		t.attempt, t.began, t.training = p, s.number("step"), true
		t.steps = map[int]time.Time{t.began: s.at}
	case "step":
		if p == t.attempt {
			n := s.number("step")
			if before, ok := t.steps[n-1]; ok {
				t.longest = max(t.longest, s.at.Sub(before))
			}
			t.steps[n] = s.at
		}
	case "evaluating", "evaluated batch":
		t.training = false
		l.evaluates(s)
	case "checkpoint rejected":
		l.ledger.reject(l.run, line)
	}
	if fresh[s.msg] {
		t.anew = false
	}
	if !progress[s.msg] || t.anew {
		return
	}
	t.at = s.at
	if s.msg != "step" && s.msg != "validation" {
		t.unsaved = 0
	}
	if t.event != "" && s.at.After(t.back) {
		l.ledger.progressed(t.event, s.at.Sub(t.back), t.loading, s.msg == "step")
		t.event = ""
	}
}

// resumed notes what training has to do again: from the step at which it goes on to the last one that was completed.
func (l *lane) resumed(s sight, step int) {
	t := &l.seen
	if t.steps == nil {
		return
	}
	last, lastAt := step, t.steps[step]
	for n, at := range t.steps {
		if n > last {
			last, lastAt = n, at
		}
	}
	if begin, ok := t.steps[step]; ok && last > step {
		l.ledger.repeated(t.cause, l.run, lastAt.Sub(begin), last-step, t.longest)
	} else if !ok && last > step {
		l.ledger.lost(l.run, step, last)
	} else {
		l.ledger.repeated(t.cause, l.run, 0, 0, t.longest)
	}
}

// evaluates notes what an evaluation has to do again: what it did between its last kept batch and the event.
func (l *lane) evaluates(s sight) {
	t := &l.seen
	model := s.attr["model"]
	if t.batch == nil {
		t.batch = map[string]time.Time{}
	}
	if before, ok := t.batch[model]; ok && s.msg == "evaluating" {
		l.ledger.evaluatedAgain(t.cause, l.run, max(0, t.eventAt.Sub(before)))
	}
	t.batch[model] = s.at
}
