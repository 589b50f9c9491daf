package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"

	"so8t/disk"
)

// journal is a logger's output that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

var local = client.Options{HostPort: "127.0.0.1:7233", Namespace: "default"}

func takeHost(t *testing.T, o client.Options, name string, patience time.Duration) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h, err := waitForHost(ctx, o, name, patience, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("host %s of %s %s: %v", name, o.HostPort, o.Namespace, err)
	}
	t.Cleanup(h.release)
	return h
}

// waiting starts to wait for a host and returns once it stands by.
func waiting(t *testing.T, ctx context.Context, name string, patience time.Duration) (log *journal, got <-chan *host, failed <-chan error) {
	t.Helper()
	log = &journal{}
	hosts, errs := make(chan *host, 1), make(chan error, 1)
	go func() {
		h, err := waitForHost(ctx, local, name, patience, log.logger())
		if err != nil {
			errs <- err
			return
		}
		t.Cleanup(h.release)
		hosts <- h
	}()
	for end := time.Now().Add(time.Minute); !strings.Contains(log.String(), "standing by"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second worker does not stand by")
		}
	}
	return log, hosts, errs
}

func TestASecondWorkerStandsBy(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const patience = 400 * time.Millisecond
	first := takeHost(t, local, "h", patience)
	log, hosts, _ := waiting(t, t.Context(), "h", patience)
	select {
	case <-hosts:
		t.Fatal("both workers have the host, though the first renews its lease")
	case <-time.After(3 * patience):
	}
	first.release()
	select {
	case second := <-hosts:
		if second.dir != first.dir || second.path == first.path {
			t.Errorf("first %+v, second %+v", first, second)
		}
	case <-time.After(time.Minute):
		t.Fatal("the host is free and nobody takes it")
	}
	want := fmt.Sprintf("host=h process=%d", os.Getpid())
	if said := log.String(); strings.Count(said, "standing by") != 1 || !strings.Contains(said, want) {
		t.Errorf("want one line with %q:\n%s", want, said)
	}
}

// A worker that does not renew its lease is replaced after its own patience, and learns of it.
func TestASilentWorkerIsReplaced(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const patience = 4 * time.Second
	first := takeHost(t, local, "h", patience) // renews only every quarter of that
	_, hosts, _ := waiting(t, t.Context(), "h", patience)
	silent := time.Now().Add(-patience - time.Second)
	if err := os.Chtimes(filepath.Join(first.dir, "lease.json"), silent, silent); err != nil {
		t.Fatal(err)
	}
	select {
	case <-hosts:
	case <-time.After(20 * time.Second):
		t.Fatal("a worker silent for longer than its patience still has the host")
	}
	if err := first.lease.Check(); !errors.Is(err, disk.ErrLeaseLost) {
		t.Errorf("the first worker's lease: %v", err)
	}
}

func TestStandingByEndsWithTheContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	takeHost(t, local, "h", time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	_, hosts, errs := waiting(t, ctx, "h", time.Second)
	cancel()
	select {
	case err := <-errs:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-hosts:
		t.Error("got the host")
	case <-time.After(time.Minute):
		t.Error("still waits")
	}
}

// Another name, namespace or server is another host; a folder that cannot be made is named.
func TestHostsApart(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dirs := map[string]bool{}
	for _, h := range []*host{
		takeHost(t, local, "h", time.Minute), takeHost(t, local, "other", time.Minute),
		takeHost(t, client.Options{HostPort: local.HostPort, Namespace: "nights"}, "h", time.Minute),
		takeHost(t, client.Options{HostPort: "10.0.0.1:7233", Namespace: local.Namespace}, "h", time.Minute),
	} {
		dirs[h.dir] = true
	}
	if len(dirs) != 4 {
		t.Errorf("four hosts in %v", dirs)
	}
	t.Setenv("TMPDIR", filepath.Join(temp, "file"))
	if err := os.WriteFile(filepath.Join(temp, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := waitForHost(t.Context(), local, "h", time.Minute, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "take host h: ") {
		t.Error(err)
	}
}

// fakeServer notes what it is told about tasks.
type fakeServer struct {
	workflowservice.WorkflowServiceClient // nil: whoever calls more than RespondWorkflowTaskFailed panics
	told                                  []string
	refuse                                error
}

func (s *fakeServer) WorkflowService() workflowservice.WorkflowServiceClient { return s }

func (s *fakeServer) RespondWorkflowTaskFailed(_ context.Context, in *workflowservice.RespondWorkflowTaskFailedRequest,
	_ ...grpc.CallOption) (*workflowservice.RespondWorkflowTaskFailedResponse, error) {
	s.told = append(s.told, fmt.Sprintf("workflow task %s in %s: %v", in.TaskToken, in.Namespace, in.Cause))
	return nil, s.refuse
}

func (s *fakeServer) CompleteActivity(_ context.Context, token []byte, result any, err error) error {
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) || failed.NonRetryable() || failed.Type() != "WorkerDied" || failed.NextRetryDelay() != 100*time.Millisecond || result != nil {
		return fmt.Errorf("not a failure to be retried at once: %v, %w", result, err)
	}
	s.told = append(s.told, fmt.Sprintf("activity %s: %s", token, failed.Message()))
	return s.refuse
}

// The notes of dead predecessors are told to the server, once, and are gone then; the worker's own note stays.
func TestFailLeftovers(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, refuse := range []error{nil, errors.New("the server knows nothing of it")} {
		h := takeHost(t, local, "h", time.Minute)
		note := func(name string, list ...task) {
			text, err := json.Marshal(list)
			if err == nil {
				err = os.WriteFile(filepath.Join(h.dir, tasksPrefix+name), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		own := newTasks()
		own.begin([]byte("own"), false)
		own.noteIn(h.path)
		note("1", task{[]byte("a1"), false}, task{[]byte("w1"), true})
		note("2", task{[]byte("a2"), false})
		note("3")
		damaged := filepath.Join(h.dir, tasksPrefix+"4")
		if err := os.WriteFile(damaged, []byte(`[{"Token":`), 0o600); err != nil {
			t.Fatal(err)
		}
		log, server := &journal{}, &fakeServer{refuse: refuse}
		h.failLeftovers(t.Context(), server, "default", log.logger())
		h.failLeftovers(t.Context(), server, "default", log.logger())
		want := []string{
			"activity a1: the worker died; the next one goes on",
			"workflow task w1 in default: " + enums.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE.String(),
			"activity a2: the worker died; the next one goes on",
		}
		if !slices.Equal(server.told, want) {
			t.Errorf("told %q, want %q", server.told, want)
		}
		if said := log.String(); strings.Count(said, fmt.Sprintf("told_the_server=%v", refuse == nil)) != 2 {
			t.Errorf("the log:\n%s", said)
		}
		left, _ := filepath.Glob(filepath.Join(h.dir, tasksPrefix+"*"))
		if !slices.Equal(left, slices.Sorted(slices.Values([]string{h.path, damaged}))) {
			t.Errorf("left %v", left)
		}
		if got := noted(t, h.path); !slices.Equal(got, []string{"a:own"}) {
			t.Errorf("own note: %v", got)
		}
		h.release()
		if _, err := os.Stat(h.path); !os.IsNotExist(err) {
			t.Errorf("released, the note is still there: %v", err)
		}
	}
}

// A worker of the same name that was killed leaves its note; the next one finds it and tells the server.
func TestTheNoteOfADeadPredecessor(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead := takeHost(t, local, "h", time.Minute)
	open := newTasks()
	open.noteIn(dead.path)
	call(t, open, nil, &workflowservice.PollActivityTaskQueueResponse{TaskToken: []byte("training")}, nil)
	if err := dead.lease.Release(); err != nil { // as its death does; the note stays
		t.Fatal(err)
	}
	next, server := takeHost(t, local, "h", time.Minute), &fakeServer{}
	next.failLeftovers(t.Context(), server, "default", slog.New(slog.DiscardHandler))
	if !slices.Equal(server.told, []string{"activity training: the worker died; the next one goes on"}) {
		t.Errorf("told %q", server.told)
	}
}
