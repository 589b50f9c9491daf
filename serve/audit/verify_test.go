package audit

import (
	"runtime"
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
