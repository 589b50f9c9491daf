package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"so8t/contract"
)

// sample is what a worker and its run use at one moment, measured from outside.
type sample struct {
	epoch                           int // that trains
	rss, files, threads             float64
	goroutines                      float64 // from performance_report.json
	history                         float64 // events of the current execution
	execution                       int     // 1 is the first
	disk, report, metrics, logBytes float64 // bytes; disk without the log; metrics of the newest checkpoint
}

const (
	soakHistory     = 300 // events at which the server suggests a new execution
	shortEpochs     = 8
	shortHistory    = 45
	eventsOfAnEpoch = 40 // 7, and those of signals, of updates and of the beginning
	lookEvery       = 50 * time.Millisecond
)

// A run of very many epochs uses no more at its end than in its first half: neither the worker, nor the
// history on the server, nor the files. make soak runs SO8T_SOAK epochs and prints a table. Without it
// the run is short and tells nothing about memory: a worker reaches its size after some thirty epochs.
func TestSoak(t *testing.T) {
	epochs, limit, rows, stepOf := shortEpochs, shortHistory, 4, 16
	long := os.Getenv("SO8T_SOAK") != ""
	if long {
		var err error
		if epochs, err = strconv.Atoi(os.Getenv("SO8T_SOAK")); err != nil || epochs < 200 {
			t.Fatalf("SO8T_SOAK=%s: want a number of epochs, 200 or more: the curve is to be full in its first half", os.Getenv("SO8T_SOAK"))
		}
		limit, rows, stepOf = soakHistory, 10, 4 // samples: steps enough for curve and report to be full
	}
	c := newCluster(t, "--dynamic-config-value", fmt.Sprintf("limit.historyCount.suggestContinueAsNew=%d", limit))
	c.dataset = c.firstRecords(48)
	p := c.work()
	run, out := c.start("soak", map[string]any{
		"threads": 1, "training.num_train_epochs": epochs, "training.logging_steps": 1, "training.save_steps": 0, "training.eval_steps": 0,
		"training.per_device_train_batch_size": 1, "training.gradient_accumulation_steps": stepOf, "training.save_total_limit": 2,
		"evaluation.max_samples": 4, "evaluation.max_new_tokens": 8,
	})
	followed, said := p.follow(t.Context(), run.GetID())

	samples, executions := c.watch(t, run, p, out, epochs)
	result := c.finish(run, p)
	goroutines(t, out, samples, result.Steps/epochs)
	t.Logf("%d epochs, %d steps, %d samples\n%s", epochs, result.Steps, len(samples), table(samples, epochs, rows))

	if err := followed.Wait(); err != nil || !strings.Contains(said.String(), result.Export.AdapterSHA256) {
		t.Errorf("worker follow over %d executions: %v\n%s", executions, err, said)
	}
	if want := 7 * epochs / limit; executions < want || executions < 2 {
		t.Errorf("%d executions, want at least %d", executions, want)
	}
	if most := largest(samples, func(s sample) float64 { return s.history }); most > float64(limit+eventsOfAnEpoch) {
		t.Errorf("a history of %.0f events, the server suggests %d", most, limit)
	}
	for what, tc := range map[string]struct {
		of           func(sample) float64
		factor, plus float64
	}{
		"resident bytes": {func(s sample) float64 { return s.rss }, 1.1, 8 << 20},
		"open files":     {func(s sample) float64 { return s.files }, 1, 3},
		"threads":        {func(s sample) float64 { return s.threads }, 1, 3},
		"goroutines":     {func(s sample) float64 { return s.goroutines }, 1, 5},
		// Points are bounded in number; once full, such a file stays at least half full.
		"report bytes":  {func(s sample) float64 { return s.report }, 2, 32 << 10},
		"metrics bytes": {func(s sample) float64 { return s.metrics }, 2, 32 << 10},
		"output bytes":  {func(s sample) float64 { return s.disk }, 1.1, 1 << 20},
	} {
		before, after := mean(samples, epochs/4, epochs/2, tc.of), mean(samples, 3*epochs/4, epochs, tc.of)
		if after > before*tc.factor+tc.plus && (long || what != "resident bytes") {
			t.Errorf("%s grow: %.0f in the second quarter, %.0f in the last", what, before, after)
		}
	}
	log := func(from, to int) float64 {
		of := func(s sample) float64 { return s.logBytes }
		return (mean(samples, to-1, to, of) - mean(samples, from, from+1, of)) / float64(to-from)
	}
	if before, after := log(epochs/4, epochs/2), log(3*epochs/4, epochs); after > before*1.5+1000 {
		t.Errorf("an epoch's part of the log grows: %.0f bytes in the second quarter, %.0f in the last", before, after)
	}
}

// watch samples a run until its training is over. In its second execution it is paused and
// resumed once.
func (c *cluster) watch(t *testing.T, run client.WorkflowRun, p *process, out string, epochs int) (samples []sample, executions int) {
	t.Helper()
	seen := map[string]bool{}
	for began := time.Now(); ; time.Sleep(lookEvery) {
		if time.Since(began) > time.Duration(epochs)*15*time.Second {
			t.Fatalf("no end in sight after %d samples\n%s", len(samples), p.said())
		}
		s := sample{epoch: epochsDone(out) + 1}
		if s.epoch > epochs {
			return samples, len(seen)
		}
		d, err := c.client.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
		if err != nil {
			t.Fatal(err)
		}
		info := d.GetWorkflowExecutionInfo()
		if info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_FAILED {
			c.finish(run, p) // says why
		}
		fresh := !seen[info.GetExecution().GetRunId()]
		seen[info.GetExecution().GetRunId()] = true
		s.history, s.execution = float64(info.GetHistoryLength()), len(seen)
		if len(seen) == 2 && fresh {
			if said := c.update(run, contract.VerbPause); !strings.HasPrefix(said, "paused in phase train") {
				t.Error(said)
			}
			if said := c.update(run, contract.VerbResume); !strings.HasPrefix(said, "resumed") {
				t.Error(said)
			}
		}
		s.rss, s.files, s.threads = p.takes(t)
		s.disk, s.report, s.metrics, s.logBytes = sizes(out)
		samples = append(samples, s)
	}
}

// takes is what a process uses: bytes of memory, open files, threads.
func (p *process) takes(t *testing.T) (rss, files, threads float64) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", p.Process.Pid)
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var n float64
		if k, _ := fmt.Sscanf(line, "VmRSS: %f kB", &n); k == 1 {
			rss = n * 1024
		} else if k, _ := fmt.Sscanf(line, "Threads: %f", &n); k == 1 {
			threads = n
		}
	}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return rss, float64(len(open)), threads
}

// follow starts worker follow.
func (p *process) follow(ctx context.Context, id string) (*exec.Cmd, *bytes.Buffer) {
	command := exec.CommandContext(ctx, p.Path, "follow", id)
	command.Dir, command.Env = root, p.Env
	said := &bytes.Buffer{}
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		fmt.Fprintln(said, err)
	}
	return command, said
}

// epochsDone is the newest checkpoint's epoch.
func epochsDone(out string) (done int) {
	found, _ := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_epoch_*_step_*"))
	for _, dir := range found {
		var epoch, step int
		if n, _ := fmt.Sscanf(filepath.Base(dir), "checkpoint_epoch_%d_step_%d", &epoch, &step); n == 2 {
			done = max(done, epoch)
		}
	}
	return done
}

func sizes(out string) (all, report, metrics, log float64) {
	newest := time.Time{}
	_ = filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // rotated away meanwhile
		}
		info, err := entry.Info()
		if err != nil || entry.IsDir() {
			return nil
		}
		bytes := float64(info.Size())
		switch {
		case strings.HasSuffix(path, ".log"):
			log += bytes
			return nil
		case entry.Name() == "performance_report.json":
			report = bytes
		case entry.Name() == "metrics.json" && info.ModTime().After(newest):
			metrics, newest = bytes, info.ModTime()
		}
		all += bytes
		return nil
	})
	return all, report, metrics, log
}

// goroutines fills in the number of goroutines, from the worker's report.
func goroutines(t *testing.T, out string, samples []sample, stepsPerEpoch int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "performance_report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Points []struct {
			Step       int     `json:"step"`
			Goroutines float64 `json:"goroutines"`
		} `json:"points"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	sum, n := map[int]float64{}, map[int]float64{}
	for _, p := range report.Points {
		epoch := (p.Step-1)/stepsPerEpoch + 1
		sum[epoch] += p.Goroutines
		n[epoch]++
	}
	for i := range samples {
		epoch := samples[i].epoch
		if n[epoch] == 0 {
			t.Fatalf("epoch %d has no point in performance_report.json", epoch)
		}
		samples[i].goroutines = sum[epoch] / n[epoch]
	}
}

// mean over the epochs after from up to to.
func mean(samples []sample, from, to int, of func(sample) float64) float64 {
	sum, n := 0.0, 0.0
	for _, s := range samples {
		if s.epoch > from && s.epoch <= to {
			sum += of(s)
			n++
		}
	}
	return sum / max(n, 1)
}

func largest(samples []sample, of func(sample) float64) (most float64) {
	for _, s := range samples {
		most = max(most, of(s))
	}
	return most
}

// table has a row for each part of the run: means, but the largest history.
func table(samples []sample, epochs, rows int) string {
	var b strings.Builder
	b.WriteString("epochs      RSS MB  files  threads  goroutines  history  execution  output MB  report kB  metrics kB  log kB\n")
	for row := range rows {
		from, to := epochs*row/rows, epochs*(row+1)/rows
		var part []sample
		for _, s := range samples {
			if s.epoch > from && s.epoch <= to {
				part = append(part, s)
			}
		}
		if len(part) == 0 {
			continue
		}
		m := func(of func(sample) float64) float64 { return mean(part, from, to, of) }
		last := part[len(part)-1]
		fmt.Fprintf(&b, "%3d to %3d  %6.1f  %5.1f  %7.1f  %10.1f  %7.0f  %9d  %9.2f  %9.0f  %10.0f  %6.0f\n", from+1, to,
			m(func(s sample) float64 { return s.rss })/1e6, m(func(s sample) float64 { return s.files }), m(func(s sample) float64 { return s.threads }),
			m(func(s sample) float64 { return s.goroutines }), largest(part, func(s sample) float64 { return s.history }), last.execution,
			m(func(s sample) float64 { return s.disk })/1e6, last.report/1e3, last.metrics/1e3, last.logBytes/1e3)
	}
	return b.String()
}
