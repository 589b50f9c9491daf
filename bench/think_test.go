package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	demoData  = "../demo/data/four_class_demo.jsonl"
	goodThink = `{"answer":"どうぞ。","safety_label":"ALLOW","internal_reasoning_hash":"hmac:1","model":"sha256:1"}`
	goodChat  = `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}

: thinking

data: {"choices":[{"delta":{"content":"どうぞ。"}}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}],"so8t":{"model":"sha256:1"}}

data: {"choices":[],"usage":{"completion_tokens":40,"completion_tokens_details":{"reasoning_tokens":30}}}

data: [DONE]

`
)

// askOnce has both routes asked once of a server that always gives these replies.
func askOnce(t *testing.T, think, chat string) *load {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply := map[string]string{"/think": think, "/v1/chat/completions": chat}[r.URL.Path]
		if reply == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, reply)
	}))
	defer server.Close()
	l := newLoad(&thinkCommand{Clients: 2, New: 10}, server.URL, []*question{{"何？", 50}}, []string{"行為は更新", `密 <b>`})
	l.one(1)
	l.one(2)
	return l
}

func TestThinkJudgesAnswers(t *testing.T) {
	inPieces := strings.Replace(goodChat, `"どうぞ。"}}]}`, `"行為は"}}]}`+"\n\n"+`data: {"choices":[{"delta":{"content":"更新"}}]}`, 1)
	for _, c := range []struct {
		name, think, chat string
		lost, leaks       int
		tokens            float64
	}{
		{"whole", goodThink, goodChat, 0, 0, 90},
		{"no verdict", `{"answer":"どうぞ。"}`, strings.Replace(goodChat, "sha256:1", "", 1), 2, 0, 0},
		{"without the end", goodThink[:40], strings.Replace(goodChat, "data: [DONE]", "", 1), 2, 0, 0},
		{"an error in the stream", goodThink, `data: {"error":{"code":"x"}}` + "\n\n", 1, 0, 50},
		{"refused", "", "", 2, 0, 0},
		{"thinking", strings.Replace(goodThink, "どうぞ。", "行為は更新、どうぞ。", 1), strings.Replace(goodChat, "どうぞ。", "decision: ALLOW", 1), 0, 2, 90},
		{"thinking in pieces", goodThink, inPieces, 0, 1, 90},
		{"thinking aside", strings.Replace(goodThink, `{`, `{"x":"\u003cthink-task>",`, 1), goodChat + ": 行為は更新\n", 0, 2, 90},
	} {
		l := askOnce(t, c.think, c.chat)
		var r thinkResult
		l.into(&r)
		if r.Requests != 2 || r.Lost != c.lost || r.Leaks != c.leaks || l.tokens != c.tokens {
			t.Errorf("%s: %d requests, %d lost, %d show thinking, %v tokens; %v", c.name, r.Requests, r.Lost, r.Leaks, l.tokens, r.Losses)
		}
		if c.lost+c.leaks == 0 && (r.Models["sha256:1"] != 2 || len(l.first) != 1 || len(l.end) != 2 || r.First.Max > r.End.Max) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// TestThinkLeaves: a client that goes away is not a loss, and one whose server goes away is.
func TestThinkLeaves(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // whose end lets the server see that the client goes
		<-r.Context().Done()
	}))
	defer server.Close()
	l := newLoad(&thinkCommand{Clients: 1, New: 10, Abandon: 1}, server.URL, []*question{{"何？", 50}}, []string{"密"})
	l.one(1)
	if l.abandoned != 1 || len(l.losses) != 0 {
		t.Errorf("%d abandoned, losses %v", l.abandoned, l.losses)
	}
}

// TestThinkSecrets: sentences of the demo's thinking, and none that a question or an answer holds.
func TestThinkSecrets(t *testing.T) {
	questions, secrets, err := readQuestions(demoData)
	if err != nil {
		t.Fatal(err)
	}
	records, err := demoRecords(demoData)
	if err != nil {
		t.Fatal(err)
	}
	l := newLoad(&thinkCommand{}, "", questions, secrets)
	hidden := 0
	for i, r := range records {
		thinking, final, _ := strings.Cut(r.Output, "<final>")
		final = strings.TrimSuffix(final, "</final>")
		if l.shows(answer{text: final}) || l.shows(answer{text: questions[i].text}) {
			t.Fatalf("record %d: its own answer or question counts as thinking", i+1)
		}
		bare := strings.NewReplacer("decision:", "", "<think-", "", "</think-", "").Replace(thinking)
		if l.shows(answer{text: bare}) {
			hidden++
		}
	}
	if hidden != len(records) {
		t.Errorf("thinking is known by its sentences in %d of %d records", hidden, len(records))
	}
}

func TestSlope(t *testing.T) {
	var samples []memorySample
	for i := range 10 {
		samples = append(samples, memorySample{float64(i), 100 + 0.5*float64(i)})
	}
	if got := slope(samples); math.Abs(got-0.5) > 1e-9 || slope(samples[:1]) != 0 {
		t.Errorf("%v MB a second, want 0.5", got)
	}
}

func TestMoveLink(t *testing.T) {
	dir := t.TempDir()
	s := &thinkServer{link: filepath.Join(dir, "current"), targets: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}}
	if err := s.promote(s.targets[0]); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.moveLink(ctx, time.Millisecond) }()
	for seen := map[string]bool{}; len(seen) < 2; {
		target, err := os.Readlink(s.link)
		if err != nil {
			t.Fatal(err)
		}
		seen[target] = true
	}
	stop()
	if err := <-ended; err != nil || s.promotions == 0 {
		t.Errorf("%v, %d promotions", err, s.promotions)
	}
}

// TestThinkServer: a program that says no address is an error that shows its log, and one that says it is asked to end.
func TestThinkServer(t *testing.T) {
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "worker")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := &thinkCommand{Model: "m", Worker: script("echo why >&2; exit 3")}
	if _, err := c.startServer(t.Context()); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
	c.Worker = script("trap 'kill $!; exit 0' TERM\necho 'serving sha256:1 at http://127.0.0.1:1, audit log at record 1, x'\nsleep 60 & wait\n")
	s, err := c.startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m := s.memory(); s.url != "http://127.0.0.1:1" || m == nil || m.End <= 0 {
		t.Errorf("address %q, memory %+v", s.url, m)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the child's files: %v", err)
	}
}

func TestQuantiles(t *testing.T) {
	var seconds []float64
	for i := range 101 {
		seconds = append(seconds, float64(100-i)/1000)
	}
	if got := fmt.Sprint(quantilesOf(seconds)); got != "p50 50 ms, p95 95 ms, p99 99 ms, max 100 ms" {
		t.Error(got)
	}
}
