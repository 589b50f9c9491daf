package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"go.temporal.io/api/query/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"so8t/disk"
)

// call passes one exchange with the server through the interceptor.
func call(t *testing.T, tasks *tasks, req, reply any, answer error) {
	t.Helper()
	const method = "/temporal.api.workflowservice.v1.WorkflowService/Method"
	called := 0
	err := tasks.listen(t.Context(), method, req, reply, nil, func(_ context.Context, m string, r, p any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		if called++; m != method || r != req || p != reply {
			t.Errorf("another call was made: %s %v %v", m, r, p)
		}
		return answer
	})
	if called != 1 || !errors.Is(err, answer) {
		t.Errorf("%d calls, answer %v, want %v", called, err, answer)
	}
}

// noted reads the file: workflow tasks as "w:TOKEN", activity tasks as "a:TOKEN".
func noted(t *testing.T, path string) []string {
	t.Helper()
	var list []task
	if err := disk.ReadJSON(path, &list); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, each := range list {
		if each.Workflow {
			names = append(names, "w:"+string(each.Token))
		} else {
			names = append(names, "a:"+string(each.Token))
		}
	}
	slices.Sort(names)
	return names
}

// What the file holds after each exchange: what the server gave and has no answer to.
func TestTasksAreNotedUntilAnswered(t *testing.T) {
	type (
		pollActivity = workflowservice.PollActivityTaskQueueResponse
		pollWorkflow = workflowservice.PollWorkflowTaskQueueResponse
		decided      = workflowservice.RespondWorkflowTaskCompletedResponse
	)
	token := func(s string) []byte { return []byte(s) }
	finishActivity := func(s string) any { return &workflowservice.RespondActivityTaskCompletedRequest{TaskToken: token(s)} }
	tasks := newTasks()
	path := filepath.Join(t.TempDir(), "tasks-1")
	tasks.noteIn(path)
	for _, step := range []struct {
		what       string
		req, reply any
		err        error
		want       []string
	}{
		{"an empty poll", nil, &pollActivity{}, nil, nil},
		{"an activity", nil, &pollActivity{TaskToken: token("1")}, nil, []string{"a:1"}},
		{"a workflow task", nil, &pollWorkflow{TaskToken: token("2")}, nil, []string{"a:1", "w:2"}},
		{"a query", nil, &pollWorkflow{TaskToken: token("3"), Query: &query.WorkflowQuery{}}, nil, []string{"a:1", "w:2"}},
		{"a heartbeat", &workflowservice.RecordActivityTaskHeartbeatRequest{TaskToken: token("1")},
			&workflowservice.RecordActivityTaskHeartbeatResponse{}, nil, []string{"a:1", "w:2"}},
		{"a decision that the server did not get", &workflowservice.RespondWorkflowTaskCompletedRequest{TaskToken: token("2")}, &decided{},
			status.Error(codes.Unavailable, "no connection"), []string{"a:1", "w:2"}},
		{"a decision, answered with the next task and an eager activity",
			&workflowservice.RespondWorkflowTaskCompletedRequest{TaskToken: token("2")},
			&decided{WorkflowTask: &pollWorkflow{TaskToken: token("4")}, ActivityTasks: []*pollActivity{{TaskToken: token("5")}}}, nil,
			[]string{"a:1", "a:5", "w:4"}},
		{"a workflow task failed", &workflowservice.RespondWorkflowTaskFailedRequest{TaskToken: token("4")},
			&workflowservice.RespondWorkflowTaskFailedResponse{}, nil, []string{"a:1", "a:5"}},
		{"an activity failed", &workflowservice.RespondActivityTaskFailedRequest{TaskToken: token("5")},
			&workflowservice.RespondActivityTaskFailedResponse{}, nil, []string{"a:1"}},
		{"an end that the server did not get", finishActivity("1"), &workflowservice.RespondActivityTaskCompletedResponse{},
			&serviceerror.Unavailable{}, []string{"a:1"}},
		{"an end of which the server knows no more", finishActivity("1"), &workflowservice.RespondActivityTaskCompletedResponse{},
			&serviceerror.NotFound{}, nil},
		{"another activity", nil, &pollActivity{TaskToken: token("6")}, nil, []string{"a:6"}},
		{"the same, by its gRPC status", &workflowservice.RespondActivityTaskCanceledRequest{TaskToken: token("6")},
			&workflowservice.RespondActivityTaskCanceledResponse{}, status.Error(codes.NotFound, "gone"), nil},
	} {
		call(t, tasks, step.req, step.reply, step.err)
		if got := noted(t, path); !slices.Equal(got, step.want) && len(got)+len(step.want) > 0 {
			t.Errorf("after %s: %v, want %v", step.what, got, step.want)
		}
	}
}

// The end of an activity goes through crash points; without a crash it is the same call.
func TestTasksOfAnActivityThatEnds(t *testing.T) {
	tasks := newTasks()
	tasks.noteIn(filepath.Join(t.TempDir(), "tasks-1"))
	tasks.begin([]byte("1"), false)
	failed := errors.New("no connection")
	for _, answer := range []error{failed, nil} {
		err := tasks.listen(t.Context(), "/temporal.api.workflowservice.v1.WorkflowService/RespondActivityTaskCompleted",
			&workflowservice.RespondActivityTaskCompletedRequest{TaskToken: []byte("1")}, &workflowservice.RespondActivityTaskCompletedResponse{}, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return answer })
		if !errors.Is(err, answer) || len(tasks.open) == 1 != (answer != nil) {
			t.Errorf("%v, want %v; open: %v", err, answer, tasks.open)
		}
	}
}

// What was begun before the file had a name stands in it from its first moment.
func TestTasksBeforeTheFile(t *testing.T) {
	tasks := newTasks()
	call(t, tasks, nil, &workflowservice.PollWorkflowTaskQueueResponse{TaskToken: []byte("early")}, nil)
	path := filepath.Join(t.TempDir(), "tasks-1")
	tasks.noteIn(path)
	if got := noted(t, path); !slices.Equal(got, []string{"w:early"}) {
		t.Error(got)
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
