package disk

import "testing"

func TestCrashPlan(t *testing.T) {
	for value, want := range map[string]struct {
		point string
		time  int64
	}{"": {"", 1}, "a.b": {"a.b", 1}, "a.b:3": {"a.b", 3}, "a.b:x": {"a.b", 1}} {
		if point, time := crashPlan(value); point != want.point || time != want.time {
			t.Errorf("%q: %q, %d", value, point, time)
		}
	}
}
