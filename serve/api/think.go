package api

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"unicode"

	"so8t/serve/guard"
	"so8t/tokenizer"
)

// verdict is what a client is told of an answer beside its text, in /think and as `so8t` in chat completions.
type verdict struct {
	Label         string  `json:"safety_label"`
	Confidence    float64 `json:"safety_conf"`
	Escalated     bool    `json:"escalated"`
	EscalationID  string  `json:"escalation_id,omitempty"`
	ReasoningHash string  `json:"internal_reasoning_hash"`
	Model         string  `json:"model"` // digest
}

func verdictOf(v guard.Verdict) verdict { return verdict(v) }

// thought is the reply of /think.
type thought struct {
	Answer string `json:"answer"`
	verdict
	RequestID    string `json:"request_id"`
	FinishReason string `json:"finish_reason"`
}

// maxName bounds a user's name, in bytes.
const maxName = 128

var thinkFields = []string{"user_id", "query", "max_new_tokens", "temperature", "top_p"}

func (s *Server) think(x *exchange, _ string) *failure {
	f, fault := s.body(x)
	if fault != nil {
		return fault
	}
	if unknown := f.unknown(thinkFields); len(unknown) > 0 {
		if name := unknown[0]; identifier(name) {
			return refuse("unknown_parameter", name, "there is no parameter %s", name)
		}
		return refuse("unknown_parameter", "", "there is a field that is no parameter")
	}
	q := guard.Request{ID: x.id, Key: x.key.Name, Retry: x.retries(), Seed: rand.Uint64()}
	f.required("user_id")
	q.User = f.user("user_id")
	query := f.required("query")
	if strings.TrimSpace(query) == "" {
		f.fault("invalid_value", "query", "must not be blank")
	}
	q.Messages = []tokenizer.Message{{Role: "user", Content: query}}
	q.MaxNewTokens = int(f.integer("max_new_tokens", 1, math.MaxInt32, 0))
	q.Temperature = f.number("temperature", 0, 2, 0)
	q.TopP = f.share("top_p")
	if f.failure != nil {
		return f.failure
	}
	r, fault := s.answer(x, q, unseen{})
	if fault != nil {
		return fault.renamed(map[string]string{"messages": "query"})
	}
	x.visible()
	x.reply(http.StatusOK, thought{Answer: r.Answer, verdict: verdictOf(r.Verdict), RequestID: x.id, FinishReason: r.FinishReason})
	return nil
}

// identifier reports whether a name is a plain one: only such a one is repeated to the client.
func identifier(name string) bool {
	for i, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return 0 < len(name) && len(name) <= 32
}

// user reads the name of a user.
func (f *fields) user(name string) string {
	text := f.text(name)
	if f.has(name) && text == "" {
		f.fault("invalid_value", name, "must not be empty")
	}
	if len(text) > maxName {
		f.fault("invalid_value", name, "must not have more than %d bytes", maxName)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		f.fault("invalid_value", name, "must not hold control characters")
	}
	return text
}

// share reads a top_p: above 0, at most 1.
func (f *fields) share(name string) float64 {
	p := f.number(name, 0, 1, 1)
	if p == 0 {
		f.fault("invalid_value", name, "must be above 0")
	}
	return p
}

// unseen is the sink of an answer that leaves whole.
type unseen struct{}

func (unseen) Begin(guard.Verdict) error { return nil }
func (unseen) Text(string) error         { return nil }

// answer has the guard answer, within the bounds of the server.
func (s *Server) answer(x *exchange, q guard.Request, sink guard.Sink) (guard.Result, *failure) {
	if f := s.notReady(); f != nil {
		return guard.Result{}, f
	}
	if !enter(&s.inFlight, s.o.InFlight) {
		return guard.Result{}, busy()
	}
	defer s.inFlight.Add(-1)
	client := x.request.Context()
	ctx, cancel := context.WithTimeout(client, s.o.Deadline)
	defer cancel()
	r, err := s.o.Answerer.Answer(ctx, q, sink)
	if err != nil {
		return guard.Result{}, failureOf(client, err)
	}
	x.result = &r
	return r, nil
}
