package audit

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// longLog writes n answers.
func longLog(t testing.TB, n int) Options {
	t.Helper()
	o := logOptions(t)
	o.SegmentBytes = 16 << 20
	l := mustOpen(t, o)
	var wait sync.WaitGroup
	for w := range 200 {
		wait.Go(func() {
			for i := range n / 200 {
				answerOnce(t, l, w*n/200+i)
			}
		})
	}
	wait.Wait()
	mustClose(t, l)
	return o
}

// BenchmarkVerify counts records and bytes a second.
func BenchmarkVerify(b *testing.B) {
	o := longLog(b, 100_000)
	text := int64(len(allOf(b, o)))
	b.SetBytes(text)
	b.ResetTimer()
	var records uint64
	for b.Loop() {
		records += wantWhole(b, o).Records
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

// Verify holds a buffer and the answers under way, not the log.
func TestVerifyInConstantMemory(t *testing.T) {
	live := func(n int) uint64 {
		o := longLog(t, n)
		var before, after runtime.MemStats
		var most uint64
		stop := make(chan struct{})
		runtime.GC()
		runtime.ReadMemStats(&before)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					runtime.GC()
					runtime.ReadMemStats(&after)
					most = max(most, after.HeapAlloc)
				}
			}
		}()
		r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()})
		stop <- struct{}{}
		if r.Outcome != Whole || r.Answers != uint64(n) {
			t.Errorf("%+v", r)
		}
		return most - min(most, before.HeapAlloc)
	}
	if few, many := live(2000), live(40_000); many > few+4<<20 {
		t.Errorf("%d bytes for 2,000 answers, %d for 40,000", few, many)
	}
}

// Each start is signed before anything is answered: whoever removes the checkpoints, to chain anew, is found.
func TestCheckpointsRemoved(t *testing.T) {
	o, files := killed(t, 3, nil)
	restore(t, o.Dir, files)
	mustClose(t, mustOpen(t, o)) // the answers, then another start
	files = snapshot(t, o.Dir)
	parts := bytes.SplitAfter(files[notesName], []byte("\nso8t\n"))
	if len(parts) != 3 {
		t.Fatalf("checkpoints\n%s", files[notesName])
	}
	for name, notes := range map[string][]byte{
		"all":       nil,
		"the first": slices.Concat([]byte("so8t\n"), bytes.Join(parts[1:], nil)),
	} {
		changed := maps.Clone(files)
		changed[notesName] = notes
		restore(t, o.Dir, changed)
		if r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()}); r.Outcome != Altered || r.Where != "000001.jsonl:2" {
			t.Errorf("%s: %v at %s: %s", name, r.Outcome, r.Where, r.Why)
		}
	}
}

// A record that would not be read again is not written.
func TestTooLong(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	for _, n := range []int{maxBody, maxBody - 60} {
		err := l.Event(t.Context(), Event{Kind: "promotion", Detail: map[string]string{"x": strings.Repeat("x", n)}})
		if (err != nil) != (n == maxBody) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	mustClose(t, l)
	mustClose(t, mustOpen(t, o))
	wantWhole(t, o)
}

// A log that is being written, rotated and signed is whole at every moment.
func TestVerifyWhileWritten(t *testing.T) {
	o := logOptions(t)
	o.SegmentBytes, o.CheckpointRecords = 3000, 3
	l := mustOpen(t, o)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				answerOnce(t, l, w*1_000_000+n)
			}
		})
	}
	looked := 0
	for ; ctx.Err() == nil; looked++ {
		wantWhole(t, o)
		if numbers, err := segments(o.Dir); err == nil && len(numbers) > 10 {
			must(t, os.Remove(filepath.Join(o.Dir, segmentName(numbers[0]))))
		}
	}
	wait.Wait()
	mustClose(t, l)
	if r := wantWhole(t, o); looked < 10 || r.StartsBehind == 0 {
		t.Errorf("looked %d times: %+v", looked, r)
	}
}
