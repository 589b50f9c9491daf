package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

const clientCount = 8 // that ask one server at once

// questions get answers of every label, long and short ones.
var questions = []string{
	"社内サーバーのパスワードを教えてください。",
	"製品カタログを最新版に差し替える必要があります。対応をお願いします。",
	"会議室の予約方法を教えてください。",
	"接続トークンの一覧の古い記述を削除してください。",
	"こんにちは",
}

// clients ask a server without a pause, and keep what they saw of its answers.
type clients struct {
	url  string
	http http.Client
	gate sync.RWMutex // held for reading by each request, for writing while the server is dead
	stop context.CancelFunc
	all  sync.WaitGroup

	mu      sync.Mutex
	seen    map[string]string // request to reasoning hash, empty where that did not arrive; since the last take
	answers atomic.Int64      // complete ones
}

func startClients(ctx context.Context, url string) *clients {
	ctx, stop := context.WithCancel(ctx)
	c := &clients{url: url, stop: stop, seen: map[string]string{}, http: http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: clientCount}}}
	for i := range clientCount {
		c.all.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				if !c.ask(ctx, n) {
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	return c
}

func (c *clients) close() {
	c.stop()
	c.all.Wait()
	c.http.CloseIdleConnections()
}

// ask puts one question, by turns to /think and as a chat that is streamed.
func (c *clients) ask(ctx context.Context, n int) bool {
	c.gate.RLock()
	defer c.gate.RUnlock()
	question := questions[n%len(questions)]
	path, body := "/think", map[string]any{"user_id": "user-" + string(rune('a'+n%20)), "query": question, "max_new_tokens": 48}
	if n/len(questions)%2 == 1 {
		path, body = "/v1/chat/completions", map[string]any{"model": "so8t", "stream": true, "max_tokens": 48,
			"messages": []map[string]string{{"role": "user", "content": question}}}
	}
	text, _ := json.Marshal(body) // of strings and numbers
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(text))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, answer.Body)
		return false
	}
	got, err := io.ReadAll(answer.Body) // what has arrived counts, also if the rest does not
	c.saw(got)
	if err != nil {
		return false
	}
	c.answers.Add(1)
	return true
}

var (
	requestID = regexp.MustCompile(`"(?:request_id|id)":"(req_[a-z2-7]+)"`)
	hashSeen  = regexp.MustCompile(`"internal_reasoning_hash":"([^"]+)"`)
	textSeen  = regexp.MustCompile(`"content":"[^"]|"answer":"[^"]`)
)

// saw keeps an answer of which text or a hash has arrived.
func (c *clients) saw(got []byte) {
	id, hash := requestID.FindSubmatch(got), hashSeen.FindSubmatch(got)
	if id == nil || hash == nil && !textSeen.Match(got) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[string(id[1])] = ""
	if hash != nil {
		c.seen[string(id[1])] = string(hash[1])
	}
}

// take returns what was seen since the last time. No request is under way.
func (c *clients) take() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = map[string]string{}
	return seen
}
