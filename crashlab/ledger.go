package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// ledger holds what the disturbances cost. Its methods may be called from several lanes.
type ledger struct {
	mu      sync.Mutex
	rows    map[string]*row
	order   []string
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

func newLedger() *ledger { return &ledger{rows: map[string]*row{}, results: map[result]int{}} }

func (l *ledger) row(event string) *row {
	r, ok := l.rows[event]
	if !ok {
		r = &row{}
		l.rows[event] = r
		l.order = append(l.order, event)
	}
	return r
}

func (l *ledger) happened(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.row(event).count++
	l.count++
	if l.count%100 == 0 {
		fmt.Printf("%d disturbances, %d runs\n", l.count, l.runs)
	}
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// progressed notes how long a run took to go on. Some disturbances never stopped it.
func (l *ledger) progressed(event string, after, loading time.Duration, step bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.row(event)
	r.back = append(r.back, after)
	if step {
		r.firstStep = append(r.firstStep, after-loading)
	}
}

// repeated notes training that is done again, and judges it: one checkpoint interval and one step at most.
func (l *ledger) repeated(event, run string, work time.Duration, steps int, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(l.longest, longest)
	if event == "" {
		if steps > 0 {
			l.errs = append(l.errs, fmt.Errorf("%s: %d steps were repeated though nothing had happened", run, steps))
		}
		return
	}
	r := l.row(event)
	r.again = append(r.again, work)
	if work > interval*time.Second+longest+cli.Slack {
		l.errs = append(l.errs, fmt.Errorf("%s, %s: %v of work repeated (%d steps); a checkpoint interval is %d s, the longest step took %v", run, event, work, steps, interval, longest))
	}
}

// quick is the time that a batch of an evaluation may take whatever the interval.
const quick = 5 * time.Second

// evaluatedAgain is the same for an evaluation, whose step is a batch.
func (l *ledger) evaluatedAgain(event, run string, work time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.row(event)
	r.again = append(r.again, work)
	if work > quick+2*interval*time.Second+cli.Slack {
		l.errs = append(l.errs, fmt.Errorf("%s, %s: %v of an evaluation repeated", run, event, work))
	}
}

func (l *ledger) lost(run string, step, last int) {
	l.fail(fmt.Errorf("%s: goes on at step %d, though an attempt that began later had reached step %d", run, step, last))
}

func (l *ledger) reject(run, line string) {
	l.fail(fmt.Errorf("%s: a checkpoint in place did not verify: %s", run, strings.TrimSpace(line)))
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
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

func (l *ledger) print(out io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "event\tcount\tagain, worst\tmedian\tgoes on after, worst\tmedian\tfirst step*, worst\tmedian\t")
	all := row{}
	line := func(name string, r *row) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, r.count, worst(r.again), median(r.again), worst(r.back), median(r.back), worst(r.firstStep), median(r.firstStep))
	}
	slices.Sort(l.order)
	for _, name := range l.order {
		r := l.rows[name]
		line(name, r)
		all.count += r.count
		all.again, all.back, all.firstStep = append(all.again, r.again...), append(all.back, r.back...), append(all.firstStep, r.firstStep...)
	}
	line("all", &all)
	w.Flush()
	fmt.Fprintf(out, "* since the worker's start, less the time in which it loaded the base\n")
	fmt.Fprintf(out, "%d runs; a checkpoint interval is %d s, the longest step %s\n", l.runs, interval, l.longest.Round(time.Millisecond))
	for r, n := range l.results {
		fmt.Fprintf(out, "%d × adapter %s, models %.12s…, decisions %.12s…, %s, p = %.3g\n", n, r.Adapter, r.Models, r.Decisions, r.Verdict, r.PValue)
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
