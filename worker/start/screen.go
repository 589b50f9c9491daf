package start

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"

	"so8t/contract"
)

// screen shows progress: in a terminal by overwriting one line, elsewhere by a line whenever there is
// something new.
type screen struct {
	out      *os.File
	terminal bool
	last     string // text of the last line
	phase    string
	shown    time.Time
	noted    map[string]bool
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	return &screen{out: out, noted: map[string]bool{}, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const quiet = 10 * time.Second // between lines of a log

func (s *screen) show(p contract.Progress) {
	s.notes(p.Notes)
	text := line(p)
	if text == s.last {
		return
	}
	phase := fmt.Sprint(p.Phase, p.Epoch, p.Paused, p.Stopping)
	if s.terminal {
		if phase != s.phase && s.last != "" {
			fmt.Fprintln(s.out)
		}
		fmt.Fprint(s.out, "\r\x1b[K", text)
	} else if phase != s.phase || time.Since(s.shown) >= quiet {
		fmt.Fprintln(s.out, text)
		s.shown = time.Now()
	}
	s.last, s.phase = text, phase
}

// notes prints each note once.
func (s *screen) notes(list []string) {
	for _, note := range list {
		if !s.noted[note] {
			s.noted[note] = true
			s.say("note: " + note)
		}
	}
}

// say prints a line that is not overwritten.
func (s *screen) say(text string) {
	if s.terminal && s.last != "" {
		fmt.Fprintln(s.out)
	}
	fmt.Fprintln(s.out, text)
	s.last = ""
}

func (s *screen) leave(id string) {
	s.say("run " + id + " goes on; to see it again: bin/worker follow " + id)
}

// result prints what a run has given; its last line is the verdict.
func (s *screen) result(r contract.Result) {
	s.notes(r.Notes)
	s.say("")
	if r.Compare != nil {
		fmt.Fprintln(s.out, strings.TrimRight(r.Compare.Table, "\n"))
		fmt.Fprintln(s.out)
	}
	row := func(what, path string) {
		if path != "" {
			fmt.Fprintf(s.out, "%-12s %s\n", what, path)
		}
	}
	if r.Stopped {
		fmt.Fprintf(s.out, "training was stopped on request after step %d\n", r.Steps)
	}
	row("output", r.OutputDir)
	if r.Export != nil {
		row("model", r.Export.Dir)
		row("adapter", r.Export.AdapterSHA256)
	}
	if r.Compare != nil {
		row("report", r.Compare.Report)
		row("promoted", r.Compare.Promoted)
		row("verdict", verdict(*r.Compare))
	}
}

// verdict is one line. A run that is not promoted is told the first condition that failed; the table has all.
func verdict(c contract.CompareResult) string {
	if c.Verdict == "promote" || len(c.Reasons) == 0 {
		return c.Verdict
	}
	return c.Verdict + ": " + c.Reasons[0]
}

// line is the progress as text, a bar and figures.
func line(p contract.Progress) string {
	switch {
	case p.Phase == "":
		return "waiting for a worker"
	case p.Paused && p.Why != "":
		return "paused: " + p.Why + " (mend it, then send resume)"
	case p.Paused:
		return fmt.Sprintf("paused in phase %s at step %d; send resume to go on", p.Phase, p.Step)
	case p.Phase == contract.PhaseTrain && p.Steps > 0:
		text := fmt.Sprintf("train  epoch %d/%d %s %d/%d", p.Epoch, p.Epochs, bar(p.Step, p.Steps), p.Step, p.Steps)
		if p.Loss > 0 {
			text += fmt.Sprintf("  loss %.4f  %.0f tokens/s  %s left", p.Loss, p.TokensPerSec, left(p.SecondsLeft))
		}
		if p.Stopping {
			text += "  (stopping)"
		}
		return text
	case p.Total > 0:
		return fmt.Sprintf("%s  %s %s %d/%d  %s left", p.Phase, p.Detail, bar(p.Done, p.Total), p.Done, p.Total, left(p.SecondsLeft))
	}
	return p.Phase + "  " + p.Detail
}

func bar(done, total int) string {
	const width = 24
	full := min(width, max(0, done*width/max(total, 1)))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func left(seconds float64) string {
	return (time.Duration(seconds) * time.Second).String()
}

// temporary reports whether asking again may help.
func temporary(err error) bool {
	var (
		missing *serviceerror.NotFound
		denied  *serviceerror.PermissionDenied
		invalid *serviceerror.InvalidArgument
	)
	return !errors.As(err, &missing) && !errors.As(err, &denied) && !errors.As(err, &invalid)
}
