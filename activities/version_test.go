package activities

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"so8t/configs"
	"so8t/contract"
	"so8t/engine/checkpoint"
	"so8t/version"
)

// A run goes on under a worker of another arithmetic, which says so; its checkpoints name both.
func TestOtherArithmeticIsNoticed(t *testing.T) {
	next := version.Version{Tag: "next", Arithmetic: version.Arithmetic + 1}
	for _, by := range []version.Version{next, version.Current()} {
		var log bytes.Buffer
		j := testJob(t)
		j.run.Config, j.log = configs.Default(), slog.New(slog.NewTextHandler(&log, nil))
		e := &epoch{job: j, in: contract.TrainInput{Run: j.run, Epoch: 1}}
		former, err := checkpoint.OpenStore(j.Checkpoints(), e.identity(""), checkpoint.Options{Version: by, Logger: j.log})
		if err != nil {
			t.Fatal(err)
		}
		state := func(step int) *checkpoint.State {
			return &checkpoint.State{Position: checkpoint.Position{Epoch: 1, Step: step, StepInEpoch: step}, Metrics: json.RawMessage("{}")}
		}
		if _, err := former.Save(t.Context(), state(1), "test"); err != nil {
			t.Fatal(err)
		}
		found, info, err := e.newest(t.Context())
		if err != nil || found == nil || found.Step != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		notice := e.noticeOf(found, info)
		if other := by == next; strings.Contains(notice, "computed by "+next.String()) != other || strings.Contains(log.String(), "arithmetic") != other {
			t.Errorf("checkpoint by %v: notice %q, log %q", by, notice, log.String())
		}
		if info, err = e.store.Save(t.Context(), state(2), "test"); err != nil {
			t.Fatal(err)
		}
		if want := slices.Compact([]version.Version{by, version.Current()}); !slices.Equal(info.Versions, want) {
			t.Errorf("versions %v, want %v", info.Versions, want)
		}
	}
	if notice := (&epoch{job: testJob(t)}).noticeOf(nil, checkpoint.Info{}); notice != "" {
		t.Errorf("nothing was trained: %q", notice)
	}
}
