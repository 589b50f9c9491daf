package audit

import (
	"context"
	"testing"
	"time"
)

// A decision is found again, in any segment and beside answers, by whoever did not learn that it was written; no other passes
// for it.
func TestFindDecided(t *testing.T) {
	o := logOptions(t)
	o.SegmentBytes = 2 << 10
	l := mustOpen(t, o)
	at := time.Now().Add(-time.Minute)
	decided := func(n int) Decided {
		id := anAnswer(n).ID
		return Decided{ID: id, Escalation: "escalation-" + id, Decision: "deny", By: "person", NoteHash: "sha256:00", At: at.Add(time.Duration(n))}
	}
	var want [20]Position
	for n := range want {
		answerOnce(t, l, n)
		var err error
		if want[n], err = l.Decided(context.Background(), decided(n)); err != nil {
			t.Fatal(err)
		}
	}
	if numbers, err := segments(o.Dir); err != nil || len(numbers) < 3 {
		t.Fatalf("segments %v, %v: want several", numbers, err)
	}
	find := func(d Decided) (Position, bool) {
		t.Helper()
		got, found, err := FindDecided(o.Dir, d)
		if err != nil {
			t.Fatal(err)
		}
		return got, found
	}
	for n := range want {
		if got, found := find(decided(n)); !found || got != want[n] {
			t.Errorf("decision %d: %+v, %v, want %+v", n, got, found, want[n])
		}
	}
	for name, change := range map[string]func(*Decided){
		"another request":  func(d *Decided) { d.ID += "x" },
		"another decision": func(d *Decided) { d.Decision = "allow" },
		"another time":     func(d *Decided) { d.At = d.At.Add(time.Millisecond) },
		"another note":     func(d *Decided) { d.NoteHash = "" },
	} {
		d := decided(7)
		change(&d)
		if got, found := find(d); found {
			t.Errorf("%s: found %+v", name, got)
		}
	}
	mustClose(t, l)
	if report := wantWhole(t, o); report.Records == 0 {
		t.Errorf("%+v", report)
	}
}
