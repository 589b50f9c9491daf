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

// tasks keeps note, in a file, of the activities that the server has given to this process
// and that it has not reported yet, by their task tokens. It listens on the connection, as
// the note must be there before the work begins and until its end has been told.
type tasks struct {
	mu     sync.Mutex
	path   string // empty: not yet known, and nothing to note
	tokens map[string][]byte
}

func (t *tasks) begin(token []byte) {
	if len(token) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens[string(token)] = token
	t.save()
}

func (t *tasks) end(token []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tokens, string(token))
	t.save()
}

// keepAt says where the note is to be.
func (t *tasks) keepAt(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.path = path
}

// save needs no durability: after a loss of power the heartbeat timeout does its work.
func (t *tasks) save() {
	if t.path == "" {
		return
	}
	list := make([][]byte, 0, len(t.tokens))
	for _, token := range t.tokens {
		list = append(list, token)
	}
	text, err := json.Marshal(list)
	if err == nil && os.WriteFile(t.path+".new", text, 0o600) == nil {
		_ = os.Rename(t.path+".new", t.path)
	}
}

// listen is a gRPC interceptor of the worker's client.
func (t *tasks) listen(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if strings.HasSuffix(method, "/RespondActivityTaskCompleted") {
		before := invoke
		invoke = func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			told := make(chan error, 1)
			go func() { told <- before(ctx, method, req, reply, cc, opts...) }()
			disk.Crash("temporal.telling")
			err := <-told
			disk.Crash("temporal.told")
			return err
		}
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	switch answer := reply.(type) {
	case *workflowservice.PollActivityTaskQueueResponse:
		t.begin(answer.GetTaskToken())
	case *workflowservice.RespondWorkflowTaskCompletedResponse:
		for _, eager := range answer.GetActivityTasks() {
			t.begin(eager.GetTaskToken())
		}
	case *workflowservice.RespondActivityTaskCompletedResponse, *workflowservice.RespondActivityTaskFailedResponse, *workflowservice.RespondActivityTaskCanceledResponse:
		var gone *serviceerror.NotFound
		if err == nil || errors.As(err, &gone) || status.Code(err) == codes.NotFound {
			t.end(req.(interface{ GetTaskToken() []byte }).GetTaskToken())
		}
	}
	return err
}
