package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"so8t/configs"
)

// load is a number of clients that ask without a pause, by /think and by streamed chat completions in turn.
type load struct {
	command   *thinkCommand
	url       string
	client    *http.Client
	questions []*question
	secrets   []string
	fallback  string
	asked     atomic.Int64

	mu         sync.Mutex
	requests   int
	abandoned  int
	leaks      int
	fallbacks  int
	tokens     float64
	losses     map[string]int
	models     map[string]int
	first, end []float64
}

func newLoad(c *thinkCommand, url string, questions []*question, secrets []string) *load {
	return &load{command: c, url: url, questions: questions, secrets: secrets, fallback: configs.DefaultServing().Serve.Fallback,
		losses: map[string]int{}, models: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.Clients}}}
}

// run has the clients ask until ctx ends, waits for their last answers, and returns the tokens of all answers.
func (l *load) run(ctx context.Context) (tokens float64) {
	before := l.tokens
	var clients sync.WaitGroup
	for user := range l.command.Clients {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.one(user)
			}
		})
	}
	clients.Wait()
	// A connection that the transport opened and never used is closed by the server's header timeout, perhaps just when the
	// next turn takes it.
	l.client.CloseIdleConnections()
	return l.tokens - before
}

// answer is what came back for one request.
type answer struct {
	raw    []byte // the whole body
	text   string
	model  string
	tokens int           // 0: not told
	first  time.Duration // 0: not streamed
	total  time.Duration
}

// one asks a question and judges the answer. Every error counts, by what the client saw.
func (l *load) one(user int) {
	n := int(l.asked.Add(1))
	q := l.questions[n%len(l.questions)]
	ctx, leave := context.WithTimeout(context.Background(), 3*time.Minute)
	defer leave()
	abandon := rand.Float64() < l.command.Abandon
	if abandon {
		time.AfterFunc(time.Duration(rand.Int64N(int64(time.Second))), leave)
	}
	ask := l.think
	if n%2 == 0 {
		ask = l.chat
	}
	a, err := ask(ctx, fmt.Sprintf("user-%d", user), q.text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if l.shows(a) {
		l.leaks++
	}
	switch {
	case err == nil:
	case abandon && ctx.Err() != nil:
		l.abandoned++
		return
	default:
		l.losses[reason("", err)]++
		return
	}
	if a.tokens == 0 {
		a.tokens = q.tokens
	}
	l.tokens += float64(a.tokens)
	l.models[a.model]++
	l.end = append(l.end, a.total.Seconds())
	switch {
	case a.text == l.fallback:
		l.fallbacks++
	case a.first > 0:
		l.first = append(l.first, a.first.Seconds())
	}
}

// thinkingMarks are what only thinking holds; the third and fourth as JSON escapes them.
var thinkingMarks = []string{"<think", "<final", `\u003cthink`, `\u003cfinal`, "</think", "decision:"}

// shows reports whether an answer holds any of the thinking that the records' answers have.
func (l *load) shows(a answer) bool {
	body := string(a.raw)
	found := func(s string) bool { return strings.Contains(body, s) || strings.Contains(a.text, s) }
	return slices.ContainsFunc(thinkingMarks, found) || slices.ContainsFunc(l.secrets, found)
}

func (l *load) post(ctx context.Context, path string, body map[string]any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	reply, err := l.client.Do(r)
	if err == nil && reply.StatusCode != http.StatusOK {
		reply.Body.Close()
		return nil, fmt.Errorf("%s: status %d", path, reply.StatusCode)
	}
	return reply, err
}

// think asks by /think.
func (l *load) think(ctx context.Context, user, query string) (a answer, err error) {
	start := time.Now()
	reply, err := l.post(ctx, "/think", map[string]any{"user_id": user, "query": query, "max_new_tokens": l.command.New})
	if err != nil {
		return a, err
	}
	defer reply.Body.Close()
	if a.raw, err = io.ReadAll(reply.Body); err != nil {
		return a, err
	}
	a.total = time.Since(start)
	var got struct {
		Answer string `json:"answer"`
		Label  string `json:"safety_label"`
		Hash   string `json:"internal_reasoning_hash"`
		Model  string `json:"model"`
	}
	if err := json.Unmarshal(a.raw, &got); err != nil {
		return a, err
	}
	if a.text, a.model = got.Answer, got.Model; got.Answer == "" || got.Label == "" || got.Hash == "" {
		return a, fmt.Errorf("/think: an answer without text, label or hash")
	}
	return a, nil
}

// chunk is an event of a streamed completion.
type chunk struct {
	Choices []struct {
		Delta        struct{ Content string }
		FinishReason string `json:"finish_reason"`
	}
	Usage *struct {
		Completion int                      `json:"completion_tokens"`
		Details    *struct{ Reasoning int } `json:"completion_tokens_details"`
	}
	So8t  *struct{ Model string }
	Error any
}

// chat asks by a streamed chat completion.
func (l *load) chat(ctx context.Context, user, query string) (a answer, err error) {
	start := time.Now()
	reply, err := l.post(ctx, "/v1/chat/completions", map[string]any{"model": "so8t", "user": user, "stream": true, "max_tokens": l.command.New,
		"temperature": 0, "stream_options": map[string]any{"include_usage": true}, "messages": []map[string]any{{"role": "user", "content": query}}})
	if err != nil {
		return a, err
	}
	defer reply.Body.Close()
	finished, done := false, false
	lines := bufio.NewScanner(reply.Body)
	for lines.Scan() {
		a.raw = append(append(a.raw, lines.Bytes()...), '\n')
		data, event := strings.CutPrefix(lines.Text(), "data: ")
		if done = done || data == "[DONE]"; !event || done {
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return a, err
		}
		if c.Error != nil {
			return a, fmt.Errorf("/v1/chat/completions: an error within the stream")
		}
		if c.So8t != nil {
			a.model = c.So8t.Model
		}
		if c.Usage != nil && c.Usage.Details != nil {
			a.tokens = c.Usage.Completion
		}
		for _, choice := range c.Choices {
			if a.text += choice.Delta.Content; a.text != "" && a.first == 0 {
				a.first = time.Since(start)
			}
			finished = finished || choice.FinishReason != ""
		}
	}
	if err := lines.Err(); err != nil {
		return a, err
	}
	if a.total = time.Since(start); !done || !finished || a.model == "" || a.text == "" {
		return a, fmt.Errorf("/v1/chat/completions: a stream without text, finish_reason, verdict or [DONE]")
	}
	return a, nil
}
