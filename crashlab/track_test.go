package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(seconds string) time.Time {
	s, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		panic(err)
	}
	return noon.Add(time.Duration(math.Round(s * float64(time.Second))))
}

// TestTrack plays timelines (testdata/track) and compares what they tell. Its commands:
//
//	run                       another run
//	disturbed as=EVENT at=S   something was done to the run, S seconds after noon
//	back at=S                 the processes are up again
//	reset at=S                a disturbance after which only a new attempt counts
//	log of=WORKER             lines "S key=value …" of that worker's log; prints the findings
//	state                     prints what the laboratory waits for
//	points                    prints the crash points ahead
//
// go test ./crashlab -run TestTrack -rewrite writes the outcomes anew.
func TestTrack(t *testing.T) {
	datadriven.Walk(t, "testdata/track", func(t *testing.T, path string) {
		var tr track
		workers := map[string]*process{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			arg := func(key string) (value string) { d.ScanArgs(t, key, &value); return value }
			switch d.Cmd {
			case "run":
				tr = track{run: "run", at: noon, back: noon}
			case "disturbed":
				tr.disturbed(arg("as"), at(arg("at")))
			case "reset":
				tr.disturbed("reset", at(arg("at")))
				tr.anew = true
			case "back":
				tr.back = at(arg("at"))
			case "log":
				name := arg("of")
				if workers[name] == nil {
					workers[name] = &process{}
				}
				return logged(t, &tr, workers[name], d.Input)
			case "state":
				return fmt.Sprintf("goes on: %v; disturbances since a save: %d; longest step %v\n", tr.goesOn(), tr.unsaved, tr.longest)
			case "points":
				return strings.Join(tr.pointsAhead(), "\n") + "\n"
			default:
				d.Fatalf(t, "no such command")
			}
			return ""
		})
	})
}

func logged(t *testing.T, tr *track, by *process, lines string) string {
	var found strings.Builder
	for line := range strings.Lines(lines) {
		seconds, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		s, ok := readLine("time=" + at(seconds).Format(time.RFC3339Nano) + " level=INFO " + rest)
		if !ok {
			t.Fatalf("not a line of a log: %s", line)
		}
		for _, f := range tr.see(by, s) {
			fmt.Fprintf(&found, "%s: %s\n", seconds, inWords(f))
		}
	}
	return found.String()
}

func inWords(f finding) string {
	switch f := f.(type) {
	case wentOn:
		return fmt.Sprintf("went on %v after %s; loading %v; a training step: %v", f.after, f.event, f.loading, f.step)
	case repeated:
		return fmt.Sprintf("%v of training repeated after %q, %d steps; longest step %v", f.work, f.event, f.steps, f.longest)
	case evaluatedAgain:
		return fmt.Sprintf("%v of an evaluation repeated after %q", f.work, f.event)
	case lost:
		return fmt.Sprintf("lost: resumes at step %d, had reached %d", f.step, f.last)
	case rejected:
		return "rejected: " + f.line
	default:
		return fmt.Sprintf("unknown finding %T", f)
	}
}

func TestReadLine(t *testing.T) {
	s, ok := readLine(`time=2026-11-24T12:00:01.5Z level=INFO msg="model ready" workflow=lane0-run-3 loaded_in=1.25s note="a=\"b\" c" step=17` + "\n")
	if !ok || !s.at.Equal(at("1.5")) || s.msg != "model ready" || s.attr["workflow"] != "lane0-run-3" || s.attr["note"] != `a="b" c` || s.number("step") != 17 {
		t.Errorf("%v, %+v", ok, s)
	}
	if n := s.number("loaded_in"); n != 0 {
		t.Errorf("a duration read as the number %d", n)
	}
	for _, line := range []string{"", "panic: runtime error", "goroutine 1 [running]:", `msg=step step=3`, `time=yesterday msg=step`} {
		if s, ok := readLine(line); ok {
			t.Errorf("%q was read as %+v", line, s)
		}
	}
}
