package quadruple_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	. "so8t/quadruple"
)

// thinking has n lines that final must not repeat, all of which begin alike.
func thinking(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "利用者は公開情報の閲覧を求めている、理由は%d番。\n", i)
	}
	return ThinkTask.Opening() + ThinkTask.Closing() + ThinkSafety.Opening() + DecisionLine("ALLOW") + "\n" + b.String() + ThinkSafety.Closing() +
		ThinkPolicy.Opening() + ThinkPolicy.Closing() + Final.Opening()
}

const japanese = "在庫表の最新版は共有フォルダーの「在庫」にあり、利用者は公開情報の閲覧を求めている。\nThis line is plain, 3 < 5.\n"

// hard are pieces that keep much held back, or that nearly match.
var hard = map[string]string{
	"japanese":       japanese,
	"white space":    " ",
	"line ends":      "\n",
	"brackets":       "<",
	"entities":       "&lt;",
	"echoes":         "利用者は公開情報の閲覧を求めている、理由は",
	"decision lines": "\ndecision: ALLO",
	"white in a tag": "< ",
	"marks":          "\u0301",
}

// processorTime is the calling thread's: what others do on the machine does not count.
func processorTime() time.Duration {
	const threadClock = 3 // CLOCK_THREAD_CPUTIME_ID
	var now syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(now.Nano())
}

// elapsed is the least processor time of three in which so many bytes are filtered by pieces; no more than that is spent
// once it is clear that all of them take longer than the limit.
func elapsed(head, piece string, bytes int, limit time.Duration) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := time.Duration(math.MaxInt64)
	for range 3 {
		start := processorTime()
		var f Filter
		f.Write(head)
		for written, pieces := 0, 0; written < bytes; written, pieces = written+len(piece), pieces+1 {
			f.Write(piece)
			if pieces%256 == 0 && processorTime()-start > limit {
				break
			}
		}
		f.Close()
		if least = min(least, processorTime()-start); least > limit {
			break
		}
	}
	return least
}

const unlimited = time.Hour

// Fifty times the text may cost sixty times the time at most, in the final and in the thinking, whatever is held back. What
// takes less than 0.5 ms is not compared with less: that is the caches' and the allocator's time.
func TestFilterIsLinear(t *testing.T) {
	const bytes, slow = 1 << 14, 200 * time.Millisecond // slow: 0.08 MB/s, which no linear filter is
	for name, piece := range hard {
		for where, head := range map[string]string{"final": thinking(20), "thinking": ThinkTask.Opening()} {
			var short, long time.Duration
			for range 2 { // others use the machine's caches too
				short = max(elapsed(head, piece, bytes, slow), 500*time.Microsecond)
				if short > slow {
					t.Fatalf("%s in %s: %d bytes cost more than %v", name, where, bytes, slow)
				}
				if long = elapsed(head, piece, 50*bytes, 60*short); long <= 60*short {
					break
				}
			}
			if long > 60*short {
				t.Fatalf("%s in %s: 50 times the text costs more than %.0f times the time", name, where, float64(long)/float64(short))
			}
		}
	}
}

// A step costs the same whether 20 lines are guarded or 5,000, and building their automaton is linear too.
func TestFilterIsLinearInTheLines(t *testing.T) {
	few, many := elapsed(thinking(100), "", 0, unlimited), elapsed(thinking(5000), "", 0, unlimited)
	if many > 100*max(few, 50*time.Microsecond) {
		t.Errorf("%v to guard 100 lines, %v to guard 5,000", few, many)
	}
	few = elapsed(thinking(20), japanese, 1<<20, unlimited) - elapsed(thinking(20), "", 0, unlimited)
	many = elapsed(thinking(5000), japanese, 1<<20, unlimited) - many
	if many > 4*few {
		t.Errorf("%v with 20 lines, %v with 5,000", few, many)
	}
	t.Logf("%v with 20 lines, %v with 5,000", few, many)
}

// What has left is given up: an answer of 32 MiB does not make a filter of 32 MiB.
func TestFilterForgetsWhatHasLeft(t *testing.T) {
	var f Filter
	f.Write(thinking(1))
	piece := strings.Repeat(japanese, 8)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for written := 0; written < 32<<20; written += len(piece) {
		f.Write(piece)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("%d bytes more are held after 32 MiB", after-before)
	}
	runtime.KeepAlive(&f)
}

// A token is 4 bytes here, little more than one Japanese character.
func BenchmarkFilter(b *testing.B) {
	text := strings.Repeat(japanese, 100)
	var tokens []string
	for rest := text; rest != ""; {
		n := min(4, len(rest))
		tokens, rest = append(tokens, rest[:n]), rest[n:]
	}
	for _, lines := range []int{4, 5000} {
		head := thinking(lines)
		for name, pieces := range map[string][]string{"whole": {text}, "tokens": tokens} {
			b.Run(fmt.Sprintf("%s/lines=%d", name, lines), func(b *testing.B) {
				var f Filter
				f.Write(head)
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					for _, p := range pieces {
						f.Write(p)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tokens)), "ns/token")
			})
		}
	}
}
