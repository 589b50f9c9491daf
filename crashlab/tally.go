package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// tally counts what was done to servers that answer. Its methods may be called from several lanes.
type tally struct {
	out io.Writer

	mu      sync.Mutex
	count   int
	answers int
	rows    map[string]*tallyRow
}

type tallyRow struct {
	count   int
	answers int             // that clients saw since the disturbance before
	torn    int             // times at which the log had something to cut off
	back    []time.Duration // until the server was ready again
}

func newTally(out io.Writer) *tally { return &tally{out: out, rows: map[string]*tallyRow{}} }

func (t *tally) happened(name string, answers int, torn bool, back time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[name]
	if r == nil {
		r = &tallyRow{}
		t.rows[name] = r
	}
	r.count++
	r.answers += answers
	if torn {
		r.torn++
	}
	r.back = append(r.back, back)
	t.answers += answers
	if t.count++; t.count%100 == 0 {
		fmt.Fprintf(t.out, "%d disturbances, %d answers\n", t.count, t.answers)
	}
}

func (t *tally) total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// table prints a row for each kind of disturbance.
func (t *tally) table(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\tcount\tanswers seen\tlog torn\tready after, worst\tmedian\t\n", what)
	var back []time.Duration
	torn := 0
	for _, name := range slices.Sorted(maps.Keys(t.rows)) {
		r := t.rows[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t\n", name, r.count, r.answers, r.torn, worst(r.back), median(r.back))
		back, torn = append(back, r.back...), torn+r.torn
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t%s\t%s\t\n", t.count, t.answers, torn, worst(back), median(back))
	w.Flush()
}
