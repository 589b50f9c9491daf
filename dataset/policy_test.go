package dataset

import (
	"context"
	"strings"
	"testing"
)

type dropOdd struct{}

func (dropOdd) Name() string { return "odd" }

func (dropOdd) Allows(r *Record) bool { return r.Line%2 == 0 }

func TestPolicyRulesAreCountedAndListed(t *testing.T) {
	o := options(t, records(t, 0, 200))
	o.Policy = Policy{Version: "odd-1", Rules: []Rule{dropOdd{}}}
	m := mustSplit(t, o)
	r := readReport(t, o)
	if m.Removed["odd"] != 100 || m.Bad != 0 || len(r.RemovedLines) != 100 || r.RemovedLines[1] != (RemovedLine{3, "odd"}) || len(partOf(t, o)) != 100 {
		t.Errorf("removed %v, first %v", m.Removed, r.RemovedLines[:2])
	}
}

func TestPolicyOfRulesNeedsAVersion(t *testing.T) {
	for _, p := range []Policy{{Rules: []Rule{dropOdd{}}}, {Version: "odd-1"}} {
		o := options(t, records(t, 0, 200))
		o.Policy = p
		if _, err := Split(context.Background(), o); err == nil || !strings.Contains(err.Error(), "a policy of version") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	// Another policy makes another split.
	o := options(t, records(t, 0, 200))
	mustSplit(t, o)
	o.Policy = Policy{Version: "odd-1", Rules: []Rule{dropOdd{}}}
	if m := mustSplit(t, o); m.Reused || m.Options.PolicyVersion != "odd-1" {
		t.Errorf("%+v", m)
	}
}
