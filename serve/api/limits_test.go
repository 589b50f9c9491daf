package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"so8t/serve/escalation"
	"so8t/serve/guard"
)

func (h *house) scrape(t testing.TB) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestErrorsOfTheGuard(t *testing.T) {
	secret := errors.New(canaryWord)
	for _, c := range []struct {
		err    error
		status int
		kind   string
		code   string
		retry  bool
	}{
		{&guard.Error{Kind: guard.Invalid, Code: "context_length_exceeded", Param: "max_new_tokens", Message: "max_new_tokens is too large."},
			400, invalidRequest, "context_length_exceeded", false},
		{&guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}, 429, rateLimit, "queue_full", true},
		{&guard.Error{Kind: guard.Unavailable, Code: "audit_unavailable", Message: "the answer cannot be recorded"},
			503, serverError, "audit_unavailable", true},
		{&guard.Error{Kind: guard.Failed, Code: "engine", Message: canaryWord}, 500, serverError, "internal_error", false},
		{&guard.Error{Kind: guard.Cancelled, Code: "deadline_exceeded", Message: "x"}, 504, serverError, "deadline_exceeded", false},
		{secret, 500, serverError, "internal_error", false},
		{fmt.Errorf("%w", context.DeadlineExceeded), 504, serverError, "deadline_exceeded", false},
	} {
		h := open(t, failing(c.err), nil)
		r := h.do(t, "POST", "/v1/chat/completions", `{"model":"so8t","messages":[{"role":"user","content":"q"}],"max_tokens":9}`)
		e := r.fault(t)
		if r.StatusCode != c.status || e.Type != c.kind || e.Code != c.code || (r.Header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: %d %s %v", c.err, r.StatusCode, r.body, r.Header)
		}
		if c.status == 400 && (*e.Param != "max_tokens" || e.Message != "max_tokens is too large.") {
			t.Errorf("the parameter is called otherwise than the client called it: %s", r.body)
		}
		if strings.Contains(r.body+h.log.String(), canaryWord) {
			t.Errorf("the text of an error gets out: %s %s", r.body, h.log.String())
		}
	}
}

func TestDeadline(t *testing.T) {
	h := open(t, &fake{answer: func(ctx context.Context, _ guard.Request, _ guard.Sink) (guard.Result, error) {
		<-ctx.Done()
		return guard.Result{}, ctx.Err()
	}}, func(o *Options) { o.Deadline = 20 * time.Millisecond })
	if r := h.think(t, "q"); r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		begun <- struct{}{}
		<-release
		return play(sink, allowed, "はい")
	}}, func(o *Options) { o.InFlight = 2 })
	done := make(chan int)
	for range 2 {
		go func() { done <- h.think(t, "q").StatusCode }()
		<-begun
	}
	if !strings.Contains(h.scrape(t), "so8t_in_flight 2\n") {
		t.Error("the requests in flight are not counted")
	}
	r := h.think(t, "q")
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "1" || r.fault(t).Code != "too_many_in_flight" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	close(release)
	for range 2 {
		if status := <-done; status != http.StatusOK {
			t.Error(status)
		}
	}
	go func() { <-begun }()
	if r := h.think(t, "q"); r.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", r.StatusCode)
	}
}

// Every key has its own rate, whatever the others ask.
func TestRateOfAKey(t *testing.T) {
	change, secrets := withKeys(t, "team-a", "team-b")
	h := open(t, &fake{}, func(o *Options) {
		change(o)
		o.Rate, o.Burst = 0.1, 2
	})
	for i, want := range []int{200, 200, 429} {
		r := h.think(t, "q", "Authorization", "Bearer "+secrets[0])
		if r.StatusCode != want {
			t.Errorf("request %d: %d", i, r.StatusCode)
		}
		if want == 429 && r.Header.Get("Retry-After") != "10" {
			t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
		}
	}
	if r := h.think(t, "q", "Authorization", "Bearer "+secrets[1]); r.StatusCode != http.StatusOK {
		t.Errorf("the other key: %d", r.StatusCode)
	}
	if !strings.Contains(h.scrape(t), `so8t_refusals_total{reason="rate_limit_exceeded"} 1`) {
		t.Error("the refusal is not counted")
	}
}

func TestLimiterForgets(t *testing.T) {
	l := newLimiter(1000, 1)
	for i := range 2 * maxBuckets {
		l.wait(fmt.Sprint(i))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
	for address, want := range map[string]string{"192.0.2.7:5": "192.0.2.7", "[2001:db8::1:2]:80": "2001:db8::/64", "[::ffff:192.0.2.7]:1": "192.0.2.7"} {
		if got := remote(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestNotReady(t *testing.T) {
	var why error
	h := open(t, &fake{}, func(o *Options) { o.Ready = func() error { return why } })
	for _, want := range []int{200, 503} {
		for _, r := range []reply{h.do(t, "GET", "/readyz", ""), h.think(t, "q")} {
			if r.StatusCode != want {
				t.Errorf("%d, want %d", r.StatusCode, want)
			}
		}
		if r := h.do(t, "GET", "/healthz", ""); r.StatusCode != http.StatusOK {
			t.Errorf("healthz: %d", r.StatusCode)
		}
		why = errors.New(canaryWord)
	}
	if r := h.do(t, "GET", "/readyz", ""); r.fault(t).Code != "loading" || strings.Contains(r.body+h.log.String(), canaryWord) {
		t.Error(r.body)
	}
}

// A panic with a secret in its value shows where it happened, and not the value.
func TestPanicsShowNoValues(t *testing.T) {
	type holder struct{ text string }
	for name, value := range map[string]any{"string": canaryWord, "error": errors.New(canaryWord), "struct": holder{canaryWord}} {
		for _, begun := range []bool{false, true} {
			h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
				if begun {
					_, _ = play(sink, allowed, "はい")
				}
				panic(value)
			}}, nil)
			r := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true`))
			if !begun && (r.StatusCode != http.StatusInternalServerError || r.fault(t).Code != "internal_error") {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
			if begun && (!strings.Contains(r.body, `data: {"error":{`) || strings.Contains(r.body, "[DONE]")) {
				t.Errorf("%s: %s", name, r.body)
			}
			waitFor(t, func() bool { return strings.Contains(h.log.String(), "limits_test.go:") })
			if strings.Contains(r.body+h.log.String(), canaryWord) {
				t.Errorf("%s: %s", name, h.log.String())
			}
		}
	}
}

// desk knows one escalation, of one key.
type desk struct{ fault error }

func (d desk) Status(_ context.Context, key, id string) (escalation.Status, error) {
	if d.fault != nil {
		return escalation.Status{}, d.fault
	}
	if key != "team-a" || id != "escalation-req_x" {
		return escalation.Status{}, escalation.ErrUnknown
	}
	return escalation.Status{ID: id, Status: "pending"}, nil
}

func TestEscalations(t *testing.T) {
	change, secrets := withKeys(t, "team-a", "team-b")
	h := open(t, &fake{}, func(o *Options) {
		change(o)
		o.Escalations = desk{}
	})
	for _, c := range []struct {
		secret, id string
		status     int
	}{{secrets[0], "escalation-req_x", 200}, {secrets[1], "escalation-req_x", 404}, {secrets[0], "other", 404}, {"none", "escalation-req_x", 401}} {
		r := h.do(t, "GET", "/v1/escalations/"+c.id, "", "Authorization", "Bearer "+c.secret)
		if r.StatusCode != c.status || c.status == 200 && !strings.Contains(r.body, `"status":"pending"`) {
			t.Errorf("%+v: %d %s", c, r.StatusCode, r.body)
		}
	}
	away := open(t, &fake{}, func(o *Options) { o.Escalations = desk{errors.New(canaryWord)} })
	if r := away.do(t, "GET", "/v1/escalations/escalation-req_x", ""); r.StatusCode != 503 || strings.Contains(r.body+away.log.String(), canaryWord) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}
