package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"so8t/serve/guard"
	"so8t/serve/panics"
)

// head is what a completion and all chunks of a stream have in common.
type head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix seconds
	Model   string `json:"model"`
}

// completion is a chat completion or a chunk of one.
type completion struct {
	head
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
	So8t    *verdict `json:"so8t,omitempty"`
}

type choice struct {
	Index        int      `json:"index"`
	Message      *message `json:"message,omitempty"`
	Delta        *message `json:"delta,omitempty"`
	FinishReason *string  `json:"finish_reason"`
}

type message struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type usage struct {
	Prompt     int      `json:"prompt_tokens"`
	Completion int      `json:"completion_tokens"`
	Total      int      `json:"total_tokens"`
	Details    *details `json:"completion_tokens_details,omitempty"`
}

type details struct {
	Reasoning int `json:"reasoning_tokens"`
}

func (s *Server) head(x *exchange, object string) head {
	return head{ID: x.id, Object: object, Created: x.begun.Unix(), Model: s.o.ModelName}
}

// usage counts tokens as the server is told to, nil where it shall not.
func (s *Server) usage(r guard.Result) *usage {
	u := &usage{Prompt: r.PromptTokens, Completion: r.CompletionTokens}
	switch s.o.Usage {
	case UsageNone:
		return nil
	case UsageAll:
		u.Completion += r.ReasoningTokens
		u.Details = &details{r.ReasoningTokens}
	}
	u.Total = u.Prompt + u.Completion
	return u
}

// indexed names an element of a list.
func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// stream is the sink of an answer that leaves in pieces. While the model thinks, comments keep proxies from closing the
// connection.
type stream struct {
	x       *exchange
	head    head
	mu      sync.Mutex // the keep-alive writes too
	quiet   chan struct{}
	silence sync.Once
	done    sync.WaitGroup
}

// streamed answers with server-sent events: role, text, finish reason with the verdict, usage if it was asked for, [DONE].
func (s *Server) streamed(x *exchange, q question) *failure {
	t := &stream{x: x, head: s.head(x, "chat.completion.chunk"), quiet: make(chan struct{})}
	t.done.Go(func() {
		defer panics.Recover(s.o.Log, "keep-alive", nil)
		t.keepAlive(s.keepAlive)
	})
	r, fault := t.run(func() (guard.Result, *failure) { return s.answer(x, q.Request, t) })
	if fault != nil {
		return fault.renamed(q.names())
	}
	v := verdictOf(r.Verdict)
	err := t.send(completion{So8t: &v, Choices: []choice{{Delta: &message{}, FinishReason: &r.FinishReason}}})
	if u := s.usage(r); err == nil && q.usage && u != nil {
		err = t.send(completion{Choices: []choice{}, Usage: u})
	}
	if err == nil {
		err = x.write([]byte("data: [DONE]\n\n"))
	}
	if err != nil {
		return failureOf(x.request.Context(), err)
	}
	return nil
}

// run answers, and returns when nobody else writes to the stream any more, in a panic too.
func (t *stream) run(answer func() (guard.Result, *failure)) (guard.Result, *failure) {
	defer t.done.Wait()
	defer t.hush()
	return answer()
}

func (t *stream) hush() { t.silence.Do(func() { close(t.quiet) }) }

func (t *stream) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-t.quiet:
			return
		case <-ticker.C:
			if t.comment() != nil {
				return // the request's context ends with the connection
			}
		}
	}
}

// comment sends a line that clients skip, unless text has begun to leave.
func (t *stream) comment() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.quiet:
		return nil
	default:
	}
	t.open()
	return t.x.write([]byte(": thinking\n\n"))
}

// open sends status and headers, once.
func (t *stream) open() {
	if t.x.status != 0 {
		return
	}
	t.x.stream = true
	t.x.writer.Header().Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	t.x.begin(http.StatusOK, "text/event-stream")
}

// Begin implements guard.Sink.
func (t *stream) Begin(guard.Verdict) error {
	t.hush()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open()
	empty := ""
	return t.send(completion{Choices: []choice{{Delta: &message{Role: "assistant", Content: &empty}}}})
}

// Text implements guard.Sink.
func (t *stream) Text(piece string) error {
	if piece == "" {
		return nil
	}
	t.x.visible()
	return t.send(completion{Choices: []choice{{Delta: &message{Content: &piece}}}})
}

func (t *stream) send(c completion) error {
	c.head = t.head
	return t.x.event(c)
}
