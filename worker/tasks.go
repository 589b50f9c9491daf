package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"so8t/disk"
)

// tasks notes, in a file, the tasks that the server has given to this process and that it has not
// answered yet. It listens on the connection: a task must be noted before its work begins, and
// until the server has its result.
type tasks struct {
	mu   sync.Mutex
	path string // of the file; empty until noteIn
	open map[string]task
}

// task is one of them, identified by the server's token.
type task struct {
	Token    []byte
	Workflow bool // a workflow task; else an activity task
}

func newTasks() *tasks { return &tasks{open: map[string]task{}} }

func (t *tasks) begin(token []byte, workflow bool) {
	if len(token) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[string(token)] = task{token, workflow}
	t.save()
}

func (t *tasks) end(token []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, string(token))
	t.save()
}

// noteIn writes the open tasks to a file, and rewrites it with every change.
func (t *tasks) noteIn(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path = path
	t.save()
}

// save replaces the file without syncing it: after a loss of power the server's timeouts do its work.
func (t *tasks) save() {
	if t.path == "" {
		return
	}
	list := make([]task, 0, len(t.open))
	for _, each := range t.open {
		list = append(list, each)
	}
	text, err := json.Marshal(list)
	if err == nil && os.WriteFile(t.path+".new", text, 0o600) == nil {
		_ = os.Rename(t.path+".new", t.path)
	}
}

// listen is a gRPC interceptor of the worker's client.
func (t *tasks) listen(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	call := func() error { return invoke(ctx, method, req, reply, cc, opts...) }
	if strings.HasSuffix(method, "/RespondActivityTaskCompleted") {
		call = crashingAround(call)
	}
	err := call()
	switch answer := reply.(type) {
	case *workflowservice.PollActivityTaskQueueResponse:
		t.begin(answer.GetTaskToken(), false)
	case *workflowservice.PollWorkflowTaskQueueResponse:
		if answer.GetQuery() == nil { // the caller repeats a query
			t.begin(answer.GetTaskToken(), true)
		}
	case *workflowservice.RespondWorkflowTaskCompletedResponse:
		t.answered(req, err)
		t.begin(answer.GetWorkflowTask().GetTaskToken(), true)
		for _, eager := range answer.GetActivityTasks() {
			t.begin(eager.GetTaskToken(), false)
		}
	case *workflowservice.RespondWorkflowTaskFailedResponse, *workflowservice.RespondActivityTaskCompletedResponse,
		*workflowservice.RespondActivityTaskFailedResponse, *workflowservice.RespondActivityTaskCanceledResponse:
		t.answered(req, err)
	}
	return err
}

// crashingAround puts crash points into a call: one while it is under way, one after it has returned.
func crashingAround(call func() error) func() error {
	return func() error {
		returned := make(chan error, 1)
		go func() { returned <- call() }()
		disk.Crash("temporal.telling")
		err := <-returned
		disk.Crash("temporal.told")
		return err
	}
}

// answered ends a task whose answer the server has accepted, or that it no longer knows.
func (t *tasks) answered(req any, err error) {
	var gone *serviceerror.NotFound
	if err == nil || errors.As(err, &gone) || status.Code(err) == codes.NotFound {
		t.end(req.(interface{ GetTaskToken() []byte }).GetTaskToken())
	}
}
