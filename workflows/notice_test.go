package workflows

import (
	"strings"
	"testing"
	"time"

	"so8t/contract"
)

// What an activity wants a person to know stays on the page, once, after the activity that said it.
func TestNoticeStaysOnThePage(t *testing.T) {
	r := &run{progress: contract.Progress{Phase: contract.PhaseTrain}}
	for range 3 {
		r.heard(contract.Progress{Phase: contract.PhaseTrain, Step: 1, Notice: "the arithmetic has changed"})
	}
	r.heard(contract.Progress{Phase: contract.PhaseExport})
	r.progress = contract.Progress{Phase: contract.PhaseDone}
	if got := strings.Count(r.markdown(), "- the arithmetic has changed\n"); got != 1 {
		t.Errorf("%d times on\n%s", got, r.markdown())
	}
}

func TestNoticeStopsNothing(t *testing.T) {
	b := newBench(t).healthy()
	b.RegisterDelayedCallback(func() {
		b.SignalWorkflow(contract.SignalProgress, contract.Progress{Phase: contract.PhaseTrain, Epoch: 1, Epochs: 2, Step: 3, Steps: 10, Notice: "n"})
	}, epochLasts/2+time.Second)
	if _, err := b.run(input); err != nil {
		t.Fatal(err)
	}
}
