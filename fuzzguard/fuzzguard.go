// Package fuzzguard is for fuzz targets: it holds a call to a time and to a
// share of memory that follows from the size of its input.
package fuzzguard

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// hang is far beyond what any input of a fuzz target takes, on a busy machine too.
const hang = 60 * time.Second

// Bound is what a call may allocate in all, garbage included: PerByte bytes for
// each byte of input, and Fixed bytes besides.
type Bound struct{ PerByte, Fixed uint64 }

// Call runs f, which reads input bytes. It fails t where f allocates beyond the
// bound, and ends the process where f does not return: the fuzzer then keeps the input.
func Call(t testing.TB, input int, b Bound, f func()) {
	t.Helper()
	timer := time.AfterFunc(hang, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("no answer within %v to %d bytes", hang, input))
	})
	defer timer.Stop()
	before := allocated()
	f()
	took := allocated() - before
	if limit := b.PerByte*uint64(input) + b.Fixed; took > limit {
		t.Fatalf("%d bytes of input took %d bytes of memory, the bound is %d", input, took, limit)
	}
}

// allocated is all that the process ever allocated, exactly: runtime/metrics would be read without
// stopping the world, but learns of small objects only when their span of up to 32 KB is full.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
