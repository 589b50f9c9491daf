package audit

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// median of some durations.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// alternate appends n answers by turns with plain records of their size to a file of their own on the same disk, each
// synced, with pauses as between a server's answers, and returns what both took.
func alternate(t testing.TB, l *Log, n int) (logged, plain []time.Duration) {
	t.Helper()
	f, err := openAppend(filepath.Join(filepath.Dir(l.options.Dir), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 700)
	for i := range n {
		time.Sleep(3 * time.Millisecond)
		began := time.Now()
		if _, err := l.Answer(context.Background(), anAnswer(i)); err != nil {
			t.Fatal(err)
		}
		logged = append(logged, time.Since(began))
		time.Sleep(3 * time.Millisecond)
		began = time.Now()
		_, err := f.Write(record)
		if err := errors.Join(err, f.Datasync()); err != nil {
			t.Fatal(err)
		}
		plain = append(plain, time.Since(began))
	}
	return logged, plain
}

// write has writers append answers, each the next one after pause, and returns what they waited.
func write(t testing.TB, l *Log, writers, each int, pause time.Duration) (waited []time.Duration, took time.Duration) {
	t.Helper()
	all := make([][]time.Duration, writers)
	var wait sync.WaitGroup
	began := time.Now()
	for w := range writers {
		wait.Go(func() {
			time.Sleep(pause * time.Duration(w) / time.Duration(writers))
			for n := range each {
				at := time.Now()
				if _, err := l.Answer(context.Background(), anAnswer(w*each+n)); err != nil {
					t.Error(err)
					return
				}
				all[w] = append(all[w], time.Since(at))
				time.Sleep(pause)
			}
		})
	}
	wait.Wait()
	took = time.Since(began)
	return slices.Concat(all...), took
}

// Many writers, one chain. The floor is loose, for a busy machine; the figures are printed.
func TestWriters(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	const writers, each = 200, 200
	waited, took := write(t, l, writers, each, 0)
	rate := float64(len(waited)) / took.Seconds()
	t.Logf("%d writers without a pause: %.0f records/s, p50 %v", writers, rate, median(waited))
	if rate < 2000 {
		t.Errorf("%.0f records/s", rate)
	}
	logged, plain := alternate(t, l, 300)
	t.Logf("an answer alone waits p50 %v; one append and fdatasync of the same disk takes %v", median(logged), median(plain))
	if median(logged) > 3*median(plain) {
		t.Errorf("an answer waits %v, one append and fdatasync takes %v", median(logged), median(plain))
	}
	waited, took = write(t, l, writers, 3, 2*time.Second)
	t.Logf("%d writers, %.0f records/s: p50 %v", writers, float64(len(waited))/took.Seconds(), median(waited))
	mustClose(t, l)
	if r := wantWhole(t, o); r.Answers != writers*(each+3)+300 {
		t.Errorf("%d answers", r.Answers)
	}
}
