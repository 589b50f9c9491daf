package fuzzguard

import (
	"runtime"
	"testing"
)

// refusal records a failure instead of ending the test.
type refusal struct {
	testing.TB
	failed bool
}

func (r *refusal) Helper()               {}
func (r *refusal) Fatalf(string, ...any) { r.failed = true }

func TestMemoryBound(t *testing.T) {
	bound := Bound{PerByte: 100, Fixed: 1 << 20}
	for size, fails := range map[int]bool{0: false, 1 << 20: false, 4 << 20: true} {
		r := &refusal{TB: t}
		Call(r, 10_000, bound, func() { runtime.KeepAlive(make([]byte, size)) })
		if r.failed != fails {
			t.Errorf("%d bytes for 10,000 of input: failed is %t", size, r.failed)
		}
	}
}
