package api

import (
	"bytes"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"

	"so8t/serve/guard"

	"github.com/go-json-experiment/json/jsontext"
)

// What becomes of the fields of a chat completion. Others are ignored and counted: clients send new ones every month.
var (
	honoured = []string{"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "stream", "stream_options",
		"user", "safety_identifier", "n"}
	ignored = []string{"store", "metadata", "service_tier"}
	// refused maps a field to the one value that asks for nothing, beside null, false, 0, [] and {}.
	refused = map[string]string{"tools": "", "tool_choice": `"none"`, "functions": "", "function_call": `"none"`, "logprobs": "", "top_logprobs": "",
		"logit_bias": "", "response_format": `{"type":"text"}`, "modalities": `["text"]`, "audio": "", "prediction": "", "echo": ""}
)

// question is a chat completion that was asked for.
type question struct {
	guard.Request
	stream, usage bool
	bound         string // the field that bounds the answer, as the client called it
}

func (s *Server) chat(x *exchange, _ string) *failure {
	f, fault := s.body(x)
	if fault != nil {
		return fault
	}
	q, fault := s.question(x, f)
	if fault != nil {
		return fault
	}
	if q.stream {
		return s.streamed(x, q)
	}
	r, fault := s.answer(x, q.Request, unseen{})
	if fault != nil {
		return fault.renamed(q.names())
	}
	x.visible()
	v := verdictOf(r.Verdict)
	x.reply(http.StatusOK, completion{head: s.head(x, "chat.completion"), Usage: s.usage(r), So8t: &v,
		Choices: []choice{{Message: &message{Role: "assistant", Content: &r.Answer}, FinishReason: &r.FinishReason}}})
	return nil
}

// question reads the fields of a chat completion.
func (s *Server) question(x *exchange, f *fields) (question, *failure) {
	for _, name := range f.order {
		if nothing, is := refused[name]; is && !asksNothing(f.values[name], nothing) {
			return question{}, refuse("unsupported_parameter", name, "%s is not supported", name)
		}
	}
	unknown := 0
	for _, name := range f.unknown(honoured) {
		if _, is := refused[name]; !is && !slices.Contains(ignored, name) {
			unknown++
		}
	}
	s.metrics.unknownFields(unknown)
	q := question{Request: guard.Request{ID: x.id, Key: x.key.Name, Retry: x.retries()}}
	if name := f.required("model"); f.failure == nil && name != s.o.ModelName && name != s.o.Model() {
		return q, unknownModel()
	}
	if f.integer("n", math.MinInt32, math.MaxInt32, 1) != 1 {
		f.fault("unsupported_parameter", "n", "must be 1")
	}
	// OpenAI refuses both; max_tokens is the older name of the other, and clients that send both mean the newer one.
	q.bound = "max_completion_tokens"
	if !f.has(q.bound) && f.has("max_tokens") {
		q.bound = "max_tokens"
	}
	f.integer("max_tokens", 1, math.MaxInt32, 0)
	q.MaxNewTokens = int(f.integer(q.bound, 1, math.MaxInt32, 0))
	q.Temperature = f.number("temperature", 0, 2, 0)
	q.TopP = f.share("top_p")
	q.Seed = uint64(f.integer("seed", math.MinInt64, math.MaxInt64, rand.Int64()))
	q.Stop = f.stops()
	q.User = f.user("user")
	if f.has("safety_identifier") { // the newer name
		q.User = f.user("safety_identifier")
	}
	q.stream = f.boolean("stream")
	if f.has("stream_options") && !q.stream {
		f.fault("invalid_value", "stream_options", "is for streams only")
	}
	options := f.object("stream_options")
	q.usage = options.boolean("include_usage")
	if f.failure == nil {
		f.failure = options.failure
	}
	if f.failure == nil {
		q.Messages, f.failure = messages(f)
	}
	return q, f.failure
}

// asksNothing reports whether a value is a default that clients spell out.
func asksNothing(v jsontext.Value, nothing string) bool {
	v = v.Clone()
	if v.Compact() != nil {
		return false
	}
	text := string(v)
	return slices.Contains([]string{"false", "0", "[]", "{}"}, text) || nothing != "" && bytes.Equal(v, []byte(nothing))
}

// stops reads a string or up to four of them.
func (f *fields) stops() []string {
	v, ok := f.values["stop"]
	if !ok {
		return nil
	}
	list := []jsontext.Value{v}
	if v.Kind() == '[' {
		list = elements(v)
	}
	if len(list) > 4 {
		f.fault("invalid_value", "stop", "must not have more than 4 strings")
	}
	var stops []string
	for _, e := range list {
		if e.Kind() != '"' {
			f.fault("invalid_type", "stop", "must be a string or a list of strings")
			return nil
		}
		text := unquote(e)
		if text == "" {
			f.fault("invalid_value", "stop", "must not hold an empty string")
		}
		stops = append(stops, text)
	}
	return stops
}

// names are those that the guard calls otherwise than this client does.
func (q question) names() map[string]string { return map[string]string{"max_new_tokens": q.bound} }

func unknownModel() *failure {
	f := refuse("model_not_found", "model", "there is no such model: GET /v1/models has the one that there is")
	f.status = http.StatusNotFound
	return f
}
