package main

import (
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLedgerTable(t *testing.T) {
	var out strings.Builder
	l := newLedger(&out, 0)
	for _, event := range []string{"kill -9 worker", "SIGTERM", "kill -9 worker", "kill -9 worker"} {
		l.happened(event)
	}
	l.enter("run-1",
		repeated{"kill -9 worker", 900 * ms, 3, 300 * ms}, repeated{"kill -9 worker", 100 * ms, 1, 250 * ms}, repeated{"SIGTERM", 0, 0, 250 * ms},
		wentOn{"kill -9 worker", 4 * time.Second, 1500 * ms, true}, wentOn{"kill -9 worker", 2 * time.Second, 1500 * ms, false},
		wentOn{"SIGTERM", 1250 * ms, 0, true}, evaluatedAgain{"kill -9 worker", 2 * time.Second})
	same := result{Adapter: "aaaa", Models: strings.Repeat("b", 64), Decisions: strings.Repeat("c", 64), Verdict: "promote", PValue: 0.00125}
	l.ran(&same)
	l.ran(&same)
	l.ran(&result{Adapter: "ffff", Models: "m", Decisions: "d", Verdict: "reject", PValue: 1})
	l.table()
	const want = `
           event  count  again, worst  median  goes on after, worst  median  first step*, worst  median
         SIGTERM      1        0.00 s  0.00 s                1.25 s  1.25 s              1.25 s  1.25 s
  kill -9 worker      3        2.00 s  0.90 s                4.00 s  3.00 s              2.50 s  2.50 s
             all      4        2.00 s  0.50 s                4.00 s  2.00 s              2.50 s  1.88 s
* since the worker's start, less the time in which it loaded the base
3 runs; a checkpoint interval is 1 s, the longest step 300ms
2 × adapter aaaa, models bbbbbbbbbbbb…, decisions cccccccccccc…, promote, p = 0.00125
1 × adapter ffff, models m…, decisions d…, reject, p = 1
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if err := l.err(); err != nil || l.total() != 4 {
		t.Errorf("%v after %d disturbances", err, l.total())
	}
}

func TestLedgerWithoutFindings(t *testing.T) {
	var out strings.Builder
	l := newLedger(&out, 0)
	l.happened("power")
	l.table()
	if !strings.Contains(out.String(), "power      1             –       –                     –       –                   –       –\n") {
		t.Error(out.String())
	}
}

// What a disturbance may cost, to the millisecond: one more is a failure that names run, disturbance and bound.
func TestLedgerJudges(t *testing.T) {
	const step = 400 * ms
	for _, c := range []struct {
		name  string
		slack time.Duration
		f     finding
		want  string // empty: allowed
	}{
		{"an interval and a step", 0, repeated{"kill", 1400 * ms, 4, step}, ""},
		{"more than an interval and a step", 0, repeated{"kill", 1401 * ms, 4, step},
			"run-1, kill: 1.401s of work repeated (4 steps); a checkpoint interval is 1 s, the longest step took 400ms"},
		{"within the slack", 2 * time.Second, repeated{"kill", 3400 * ms, 9, step}, ""},
		{"beyond the slack", 2 * time.Second, repeated{"kill", 3401 * ms, 9, step}, "run-1, kill: 3.401s of work repeated (9 steps)"},
		{"a step for no reason", time.Hour, repeated{"", 0, 1, step}, "run-1: 1 steps were repeated though nothing had happened"},
		{"nothing for no reason", 0, repeated{"", 0, 0, step}, ""},
		{"a batch of an evaluation", 0, evaluatedAgain{"kill", 7 * time.Second}, ""},
		{"more of an evaluation", 0, evaluatedAgain{"kill", 7001 * ms}, "run-1, kill: 7.001s of an evaluation repeated"},
		{"an evaluation beyond the slack", time.Second, evaluatedAgain{"kill", 8001 * ms}, "run-1, kill: 8.001s of an evaluation repeated"},
		{"a checkpoint lost", time.Hour, lost{3, 8}, "run-1: goes on at step 3, though an attempt that began later had reached step 8"},
		{"a checkpoint rejected", time.Hour, rejected{"msg=\"checkpoint rejected\" dir=c\n"},
			`run-1: a checkpoint in place did not verify: msg="checkpoint rejected" dir=c`},
		{"slow to go on", 0, wentOn{"kill", time.Hour, 0, true}, ""}, // told in the table, judged by nobody
	} {
		l := newLedger(&strings.Builder{}, c.slack)
		l.enter("run-1", c.f)
		err := l.err()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestLedgerSaysHowFarItIs(t *testing.T) {
	var out strings.Builder
	l := newLedger(&out, 0)
	l.ran(&result{})
	for range 250 {
		l.happened("kill")
	}
	if got := out.String(); got != "100 disturbances, 1 runs\n200 disturbances, 1 runs\n" {
		t.Error(got)
	}
}

func TestMedian(t *testing.T) {
	for want, d := range map[string][]time.Duration{"–": nil, "3.00 s": {3 * time.Second}, "2.50 s": {4 * time.Second, time.Second},
		"2.00 s": {9 * time.Second, time.Second, 2 * time.Second}} {
		if got := median(d); got != want {
			t.Errorf("median of %v is %s, want %s", d, got, want)
		}
	}
}
