package workflows

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// Runs that began under earlier code must go on under this code. The histories are from real servers:
// make histories adds new ones (capture_test.go); the old ones stay.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/replay_*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories to replay: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			text, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			history, err := client.HistoryFromJSON(text, client.HistoryJSONOptions{})
			if err != nil {
				t.Fatal(err)
			}
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflow(Retrain)
			replayer.RegisterWorkflow(Evaluate)
			replayer.RegisterWorkflow(Compare)
			replayer.RegisterWorkflow(Escalation)
			if err := replayer.ReplayWorkflowHistory(nil, history); err != nil {
				t.Error(err)
			}
		})
	}
}
