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

// tasks keeps note, in a file, of what the server has given to this process and has had no
// answer to yet. It listens on the connection, as the note must be there before the work
// begins and until its end has been told.
type tasks struct {
	mu   sync.Mutex
	path string // empty: not yet known, and nothing to note
	open map[string]task
}

// task is one of them, by the token under which the server knows it.
type task struct {
	Token    []byte
	Workflow bool // a decision; else an activity
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

// keepAt says where the note is to be.
func (t *tasks) keepAt(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path = path
	t.save()
}

// save needs no durability: after a loss of power the server's own timeouts do its work.
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
	tell := func() error { return invoke(ctx, method, req, reply, cc, opts...) }
	if strings.HasSuffix(method, "/RespondActivityTaskCompleted") {
		tell = func() error {
			told := make(chan error, 1)
			go func() { told <- invoke(ctx, method, req, reply, cc, opts...) }()
			disk.Crash("temporal.telling")
			err := <-told
			disk.Crash("temporal.told")
			return err
		}
	}
	err := tell()
	switch answer := reply.(type) {
	case *workflowservice.PollActivityTaskQueueResponse:
		t.begin(answer.GetTaskToken(), false)
	case *workflowservice.PollWorkflowTaskQueueResponse:
		if answer.GetQuery() == nil { // who asks a query asks again
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

// answered ends a task that the server has taken the answer to, or knows no more.
func (t *tasks) answered(req any, err error) {
	var gone *serviceerror.NotFound
	if err == nil || errors.As(err, &gone) || status.Code(err) == codes.NotFound {
		t.end(req.(interface{ GetTaskToken() []byte }).GetTaskToken())
	}
}
