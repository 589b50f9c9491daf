package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"so8t/contract"
	"so8t/rundir"
)

// Settings of the runs; interval and heartbeatTimeout are in seconds, as the configuration has them.
const (
	interval         = 1
	heartbeatTimeout = 4
	replaceAfter     = 2 * time.Second
)

// Timeouts, far beyond what a busy machine needs.
const (
	untilHung  = 30 * time.Second
	untilStuck = 2 * time.Minute
	untilDone  = 4 * time.Minute
)

// lane is a Temporal server and a worker, on which one run follows another.
type lane struct {
	name   string
	root   string // of the repository
	dir    string // server's database, logs
	out    string // where the runs write
	rng    *rand.Rand
	ledger *ledger
	want   *result // of an undisturbed run; nil in the lane that makes it

	port   int
	client client.Client
	server *process
	worker *process
	armed  string // crash point that the worker was started with
	starts int    // of processes, for the names of logs

	run  string // workflow id
	runs int

	mu   sync.Mutex // guards seen, which the readers of the logs write
	seen track
}

func newLane(name, root, dir, out string, seed uint64, l *ledger) (*lane, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ln := &lane{name: name, root: root, dir: dir, out: out, rng: rand.New(rand.NewPCG(seed, 0)), ledger: l}
	var err error
	if ln.port, err = freePort(); err != nil {
		return nil, err
	}
	ln.client, err = client.NewLazyClient(client.Options{HostPort: ln.address(), Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	return ln, err
}

func (l *lane) address() string { return fmt.Sprintf("127.0.0.1:%d", l.port) }

func (l *lane) close() {
	for _, p := range []*process{l.worker, l.server} {
		if p != nil && p.alive() {
			p.kill()
		}
	}
	l.client.Close()
}

func (l *lane) logName(what string) string {
	l.starts++
	return filepath.Join(l.dir, fmt.Sprintf("%04d-%s.log", l.starts, what))
}

func (l *lane) startServer(ctx context.Context) (err error) {
	l.server, err = launch(l.logName("server"), nil, nil, filepath.Join(l.root, "bin", "temporal"), "server", "start-dev", "--ip", "127.0.0.1",
		"--port", fmt.Sprint(l.port), "--headless", "--db-filename", filepath.Join(l.dir, "temporal.db"), "--log-level", "error")
	if err != nil {
		return err
	}
	for end := time.Now().Add(untilStuck); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		short, cancel := context.WithTimeout(ctx, time.Second)
		_, err := l.client.CheckHealth(short, &client.CheckHealthRequest{})
		cancel()
		if err == nil {
			return nil
		}
		if !l.server.alive() {
			return fmt.Errorf("the Temporal server ended: see %s", l.server.log)
		}
	}
	return errors.New("the Temporal server does not answer")
}

// startWorker starts another worker, armed with a crash point if one is given.
func (l *lane) startWorker(point string) (err error) {
	l.armed = point // the worker may reach it late, during another disturbance
	env := []string{"TEMPORAL_ADDRESS=" + l.address(), "TEMPORAL_NAMESPACE=default", "SO8T_HOST=" + l.name,
		"SO8T_REPLACE_AFTER=" + replaceAfter.String(), "SO8T_CRASH_AT=" + point, "TMPDIR=" + l.dir}
	worker, err := launch(l.logName("worker"), env, l.see, filepath.Join(l.root, "bin", "worker"))
	if err == nil {
		l.mu.Lock()
		l.worker, l.seen.back = worker, worker.started
		worker.armed = point != ""
		l.mu.Unlock()
	}
	return err
}

// begin submits the next run.
func (l *lane) begin(ctx context.Context) error {
	l.runs++
	l.run = fmt.Sprintf("%s-run-%d", l.name, l.runs)
	l.mu.Lock()
	l.seen = track{run: l.run, at: time.Now(), back: time.Now()}
	l.mu.Unlock()
	in := contract.RunInput{Config: filepath.Join(l.root, "configs", "demo.yaml"), Set: map[string]any{
		"output_dir": l.output(), "data.input_path": filepath.Join(l.root, "demo", "data", "*.jsonl"),
		"model.base_model_path": filepath.Join(l.root, "demo", "base"),
		"device":                "cpu", "threads": 1, // lanes run at once, and a GPU serves one run
		"checkpoint.interval_seconds": interval, "checkpoint.heartbeat_timeout_seconds": heartbeatTimeout, "checkpoint.max_checkpoints": 3,
		"training.logging_steps": 1, "training.save_steps": 0,
		"evaluation.max_samples": 48, "evaluation.batch_size": 8, "evaluation.max_new_tokens": 64, "ab_test.bootstrap_samples": 200,
	}}
	ctx, cancel := context.WithTimeout(ctx, untilStuck)
	defer cancel()
	_, err := l.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: l.run, TaskQueue: contract.TaskQueue}, "Retrain", in)
	return err
}

func (l *lane) output() string { return filepath.Join(l.out, l.run) }

// status asks for the run's status. It restarts a server that does not answer for long, and counts that.
func (l *lane) status(ctx context.Context) (enums.WorkflowExecutionStatus, error) {
	hung := time.Now().Add(untilHung)
	for end := time.Now().Add(untilStuck); ; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(hung) {
			l.ledger.happened("server hung by itself")
			l.server.kill()
			if err := l.startServer(ctx); err != nil {
				return 0, err
			}
			hung = end
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		answer, err := l.client.DescribeWorkflowExecution(short, l.run, "")
		cancel()
		if err == nil {
			return answer.GetWorkflowExecutionInfo().GetStatus(), nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return 0, fmt.Errorf("ask for %s: %w", l.run, err)
		}
	}
}

// over reports whether the run has ended; the error tells how it failed.
func (l *lane) over(ctx context.Context) (bool, error) {
	status, err := l.status(ctx)
	if err != nil {
		return false, err
	}
	switch status {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING, enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
		return false, nil
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return true, nil
	}
	short, cancel := context.WithTimeout(ctx, untilStuck)
	defer cancel()
	err = l.client.GetWorkflow(short, l.run, "").Get(short, nil)
	return true, fmt.Errorf("run lost: %s ended as %v: %w", l.run, status, err)
}

// see takes in a line of a worker's log.
func (l *lane) see(p *process, line string) {
	s, ok := readLine(line)
	if !ok || p.retired.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.attr["workflow"] == l.seen.run {
		l.ledger.enter(l.seen.run, l.seen.see(p, s)...)
	}
}

// finish waits for the end of the run, compares its result with that of the undisturbed run, and removes its files.
func (l *lane) finish(ctx context.Context) error {
	for end := time.Now().Add(untilDone); ; time.Sleep(50 * time.Millisecond) {
		done, err := l.over(ctx)
		if err != nil {
			return err
		}
		if done {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("run stuck: %s: %s", l.run, l.whereabouts(ctx))
		}
		if !l.worker.alive() { // it reached its crash point
			if err := l.startWorker(""); err != nil {
				return err
			}
		}
	}
	got, err := l.result(ctx)
	if err != nil {
		return err
	}
	if l.want != nil && *got != *l.want {
		return fmt.Errorf("%s differs from an undisturbed run:\n  %+v\n  %+v", l.run, *got, *l.want)
	}
	l.ledger.ran(got)
	if l.want == nil {
		l.want = got
	}
	return os.RemoveAll(l.output())
}

// result is what every run must end with.
type result struct {
	Adapter, Models, Decisions string // SHA-256
	Verdict                    string
	PValue                     float64
}

func (l *lane) result(ctx context.Context) (*result, error) {
	ctx, cancel := context.WithTimeout(ctx, untilStuck)
	defer cancel()
	var told contract.Result
	if err := l.client.GetWorkflow(ctx, l.run, "").Get(ctx, &told); err != nil {
		return nil, fmt.Errorf("result of %s: %w", l.run, err)
	}
	r := &result{Adapter: told.Export.AdapterSHA256, Verdict: told.Compare.Verdict, PValue: told.Compare.PValue}
	sum := sha256.New()
	out := rundir.Layout(l.output())
	for _, folder := range []string{out.Adapter(), out.AdapterOFT(), out.Merged()} {
		dir := os.DirFS(folder)
		err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(dir, path)
			if filepath.Join(folder, path) == out.AdapterWeights() {
				if on := sha256.Sum256(text); hex.EncodeToString(on[:]) != r.Adapter {
					return fmt.Errorf("the adapter of %s on disk is not the one that was told", l.run)
				}
			}
			fmt.Fprintf(sum, "%s/%s %d\n", filepath.Base(folder), path, len(text))
			sum.Write(text)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	r.Models = hex.EncodeToString(sum.Sum(nil))
	sum.Reset()
	for _, model := range []string{rundir.Base, rundir.Retrained} {
		text, err := os.ReadFile(out.Evaluation(model))
		if err != nil {
			return nil, err
		}
		var e struct {
			Decisions []struct {
				Digest, Decided, Answer string
				Probabilities           [4]float64
			} `json:"decisions"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, err
		}
		if err := json.NewEncoder(sum).Encode(e); err != nil {
			return nil, err
		}
	}
	r.Decisions = hex.EncodeToString(sum.Sum(nil))
	return r, nil
}

// whereabouts describes how far a run is that does not go on.
func (l *lane) whereabouts(ctx context.Context) string {
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var p contract.Progress
	v, err := l.client.QueryWorkflow(short, l.run, "", contract.QueryProgress)
	if err == nil {
		err = v.Get(&p)
	}
	if err != nil {
		return fmt.Sprintf("query: %v", err)
	}
	return fmt.Sprintf("%+v; worker's log %s", p, l.worker.log)
}

// undisturbed makes the run with which all others are compared.
func (l *lane) undisturbed(ctx context.Context) (*result, error) {
	if err := l.up(ctx); err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	err := l.finish(ctx)
	return l.want, err
}

// up starts the server and the worker where they are down.
func (l *lane) up(ctx context.Context) error {
	if l.server == nil || !l.server.alive() {
		if err := l.startServer(ctx); err != nil {
			return err
		}
	}
	if l.worker == nil || !l.worker.alive() {
		return l.startWorker("")
	}
	return nil
}

// metItsPoint reports whether a worker that has ended killed itself at its crash point.
func (p *process) metItsPoint() bool { return p.armed && p.exitCode() == -int(syscall.SIGKILL) }

// exitCode is that of a process that has ended, or minus the signal that killed it.
func (p *process) exitCode() int {
	if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return -int(s.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}
