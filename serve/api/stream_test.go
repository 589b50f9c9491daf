package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"so8t/serve/guard"
)

// events are the data of a stream's events, comments left out.
func events(body string) []string {
	var list []string
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok {
			list = append(list, data)
		}
	}
	return list
}

// joined is the text of a stream.
func joined(t testing.TB, body string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events(body) {
		var c struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if e == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(e), &c); err != nil {
			t.Fatalf("%v in %q", err, e)
		}
		for _, choice := range c.Choices {
			b.WriteString(choice.Delta.Content)
		}
	}
	return b.String()
}

func TestStreamsOrder(t *testing.T) {
	h := open(t, &fake{}, nil)
	r := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true,"stream_options":{"include_usage":true}`))
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var got []string
	created := regexp.MustCompile(`"created":\d+`)
	for _, e := range events(r.body) {
		got = append(got, created.ReplaceAllString(strings.Replace(e, r.Header.Get("X-Request-Id"), "ID", 1), `"created":0`))
	}
	head := `{"id":"ID","object":"chat.completion.chunk","created":0,"model":"so8t",`
	want := []string{
		head + `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`,
		head + `"choices":[{"index":0,"delta":{"content":"火曜は"},"finish_reason":null}]}`,
		head + `"choices":[{"index":0,"delta":{"content":"可燃ごみの"},"finish_reason":null}]}`,
		head + `"choices":[{"index":0,"delta":{"content":"日です。"},"finish_reason":null}]}`,
		head + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"so8t":{"safety_label":"ALLOW","safety_conf":0.97,"escalated":false,` +
			`"internal_reasoning_hash":"hmac:abc","model":"` + digest + `"}}`,
		head + `"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}`,
		`[DONE]`,
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf(" got\n%s\nwant\n%s", g, w)
	}
}

// What would end an event or a stream is text like any other inside one.
func TestStreamedTextIsExact(t *testing.T) {
	pieces := []string{"a\n\ndata: [DONE]\n\n", "\u2028\u2029\r\n", "<b>&\"\\", "\x00\x1f", "🍣"}
	h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		return play(sink, allowed, pieces...)
	}}, nil)
	if got := joined(t, h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true`)).body); got != strings.Join(pieces, "") {
		t.Errorf("%q", got)
	}
}

// The status waits for the verdict: an error before it has its own.
func TestErrorsBeforeTheVerdictHaveTheirStatus(t *testing.T) {
	h := open(t, failing(&guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}), nil)
	r := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true`))
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "1" || r.fault(t).Code != "queue_full" {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
	}
}

func TestAStreamThatFailsSaysSo(t *testing.T) {
	for name, begun := range map[string]bool{"after text": true, "after a keep-alive": false} {
		h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
			if begun {
				if _, err := play(sink, allowed, "半分"); err != nil {
					return guard.Result{}, err
				}
			} else {
				time.Sleep(100 * time.Millisecond)
			}
			return guard.Result{}, &guard.Error{Kind: guard.Unavailable, Code: "audit_unavailable", Message: "The audit log cannot be written."}
		}}, nil)
		h.keepAlive = 10 * time.Millisecond
		r := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true`))
		list := events(r.body)
		last := list[len(list)-1]
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(last, `{"error":{`) || !strings.Contains(last, `"code":"audit_unavailable"`) {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
		if strings.Contains(r.body, "[DONE]") {
			t.Errorf("%s: a failed stream ends like a whole one", name)
		}
		if !strings.Contains(h.log.String(), "code=audit_unavailable") || !strings.Contains(h.scrape(t), "so8t_audit_failures_total 1\n") {
			t.Errorf("%s: the failure is neither logged nor counted", name)
		}
	}
}

func TestCommentsWhileTheModelThinks(t *testing.T) {
	release := make(chan struct{})
	h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		<-release
		if err := sink.Begin(allowed); err != nil {
			return guard.Result{}, err
		}
		time.Sleep(50 * time.Millisecond) // several comments' time
		return guard.Result{Verdict: allowed, FinishReason: guard.Stop}, sink.Text("はい")
	}}, nil)
	h.keepAlive = 5 * time.Millisecond
	r, err := http.Post(h.url+"/v1/chat/completions", "application/json", strings.NewReader(chatWith(`"stream":true`)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for range 3 {
		if !lines.Scan() || lines.Text() != ": thinking" || !lines.Scan() || lines.Text() != "" {
			t.Fatalf("%q", lines.Text())
		}
	}
	close(release)
	behind := false
	for lines.Scan() {
		behind = behind || strings.HasPrefix(lines.Text(), "data:")
		if behind && strings.HasPrefix(lines.Text(), ":") {
			t.Error("a comment behind the first event")
		}
	}
	if !behind {
		t.Error("no events")
	}
}

// A client that has gone ends its answer, streamed or not, and its place is free.
func TestGoneClientsFreeTheirPlace(t *testing.T) {
	for name, body := range map[string]string{"/think": thinkWith(`"top_p":1`), "/v1/chat/completions": chatWith(`"stream":true`)} {
		begun, ended := make(chan struct{}), make(chan error, 1)
		h := open(t, &fake{answer: func(ctx context.Context, _ guard.Request, _ guard.Sink) (guard.Result, error) {
			close(begun)
			<-ctx.Done()
			ended <- ctx.Err()
			return guard.Result{}, &guard.Error{Kind: guard.Cancelled, Code: "cancelled", Message: "Cancelled."}
		}}, func(o *Options) { o.InFlight = 1 })
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "POST", h.url+name, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		go func() {
			<-begun
			cancel()
		}()
		if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", name, err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the answer goes on", name)
		}
		for until := time.Now().Add(5 * time.Second); h.inFlight.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: the place is not free", name)
			}
		}
		waitFor(t, func() bool { return strings.Contains(h.log.String(), "code=client_gone") })
	}
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not happen")
		}
	}
}
