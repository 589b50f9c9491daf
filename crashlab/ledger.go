package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// ledger holds what the disturbances cost. Its methods may be called from several lanes.
type ledger struct {
	out   io.Writer     // where it says how far the laboratory is
	slack time.Duration // what a stall of the disk may add to the work repeated

	mu      sync.Mutex
	rows    map[string]*row // by disturbance
	count   int
	runs    int
	results map[result]int
	errs    []error
	longest time.Duration // step
}

// row is one kind of disturbance.
type row struct {
	count     int
	again     []time.Duration // work repeated, training and evaluation
	back      []time.Duration // until progress of any kind
	firstStep []time.Duration // until the first step, less the loading of the base
}

func newLedger(out io.Writer, slack time.Duration) *ledger {
	return &ledger{out: out, slack: slack, rows: map[string]*row{}, results: map[result]int{}}
}

func (l *ledger) row(event string) *row {
	r, ok := l.rows[event]
	if !ok {
		r = &row{}
		l.rows[event] = r
	}
	return r
}

// happened counts a disturbance, and prints every hundredth.
func (l *ledger) happened(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.row(event).count++
	l.count++
	if l.count%100 == 0 {
		fmt.Fprintf(l.out, "%d disturbances, %d runs\n", l.count, l.runs)
	}
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// enter takes in what a run's log told.
func (l *ledger) enter(run string, found ...finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range found {
		f.enter(l, run)
	}
}

// finding is one thing that the logs tell about a disturbance; enter runs under the ledger's lock.
type finding interface {
	enter(l *ledger, run string)
}

// wentOn is a run's first progress after a disturbance. Some disturbances never stopped it.
type wentOn struct {
	event          string
	after, loading time.Duration
	step           bool // it was a training step
}

func (f wentOn) enter(l *ledger, _ string) {
	r := l.row(f.event)
	r.back = append(r.back, f.after)
	if f.step {
		r.firstStep = append(r.firstStep, f.after-f.loading)
	}
}

// repeated is training done again: at most one checkpoint interval and one step of it are allowed.
type repeated struct {
	event   string // empty: nothing had happened
	work    time.Duration
	steps   int
	longest time.Duration // step of the run so far
}

func (f repeated) enter(l *ledger, run string) {
	l.longest = max(l.longest, f.longest)
	if f.event == "" {
		if f.steps > 0 {
			l.fail("%s: %d steps were repeated though nothing had happened", run, f.steps)
		}
		return
	}
	r := l.row(f.event)
	r.again = append(r.again, f.work)
	if f.work > interval*time.Second+f.longest+l.slack {
		l.fail("%s, %s: %v of work repeated (%d steps); a checkpoint interval is %d s, the longest step took %v",
			run, f.event, f.work, f.steps, interval, f.longest)
	}
}

// quick is the time that a batch of an evaluation may take whatever the interval.
const quick = 5 * time.Second

// evaluatedAgain is the same for an evaluation, whose step is a batch.
type evaluatedAgain struct {
	event string
	work  time.Duration
}

func (f evaluatedAgain) enter(l *ledger, run string) {
	r := l.row(f.event)
	r.again = append(r.again, f.work)
	if f.work > quick+2*interval*time.Second+l.slack {
		l.fail("%s, %s: %v of an evaluation repeated", run, f.event, f.work)
	}
}

// lost is training that resumes before the beginning of an attempt: a checkpoint was lost.
type lost struct{ step, last int }

func (f lost) enter(l *ledger, run string) {
	l.fail("%s: goes on at step %d, though an attempt that began later had reached step %d", run, f.step, f.last)
}

// rejected is a checkpoint in place that did not verify.
type rejected struct{ line string }

func (f rejected) enter(l *ledger, run string) {
	l.fail("%s: a checkpoint in place did not verify: %s", run, strings.TrimSpace(f.line))
}

// fail is called with the lock held.
func (l *ledger) fail(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *ledger) ran(r *result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs++
	l.results[*r]++
}

func (l *ledger) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// table prints a row for each kind of disturbance, and what the runs ended with.
func (l *ledger) table() {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "event\tcount\tagain, worst\tmedian\tgoes on after, worst\tmedian\tfirst step*, worst\tmedian\t")
	line := func(name string, r *row) {
		fmt.Fprintf(w, "%s\t%d\t", name, r.count)
		for _, times := range [][]time.Duration{r.again, r.back, r.firstStep} {
			fmt.Fprintf(w, "%s\t%s\t", worst(times), median(times))
		}
		fmt.Fprintln(w)
	}
	all := row{}
	for _, name := range slices.Sorted(maps.Keys(l.rows)) {
		r := l.rows[name]
		line(name, r)
		all.count += r.count
		all.again, all.back, all.firstStep = append(all.again, r.again...), append(all.back, r.back...), append(all.firstStep, r.firstStep...)
	}
	line("all", &all)
	w.Flush()
	fmt.Fprintf(l.out, "* since the worker's start, less the time in which it loaded the base\n")
	fmt.Fprintf(l.out, "%d runs; a checkpoint interval is %d s, the longest step %s\n", l.runs, interval, l.longest.Round(time.Millisecond))
	for _, r := range slices.SortedFunc(maps.Keys(l.results), func(a, b result) int {
		return cmp.Or(l.results[b]-l.results[a], strings.Compare(a.Adapter, b.Adapter))
	}) {
		fmt.Fprintf(l.out, "%d × adapter %s, models %.12s…, decisions %.12s…, %s, p = %.3g\n",
			l.results[r], r.Adapter, r.Models, r.Decisions, r.Verdict, r.PValue)
	}
}

func worst(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	return seconds(slices.Max(d))
}

func median(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	d = slices.Sorted(slices.Values(d))
	return seconds((d[(len(d)-1)/2] + d[len(d)/2]) / 2)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
