package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"so8t/fuzzguard"
)

// canaryWord stands in every faulty request: no error may repeat it.
const canaryWord = "kanaria7f3a"

const turn = `{"role":"user","content":"` + canaryWord + `"}`

var faulty = []struct{ path, body, code, param string }{
	{"/think", ``, "invalid_json", ""},
	{"/think", `{"user_id":"` + canaryWord, "invalid_json", ""},
	{"/think", `["` + canaryWord + `"]`, "invalid_type", ""},
	{"/think", `{"query":"` + canaryWord + `","query":"b","user_id":"u"}`, "invalid_json", ""},
	{"/think", `{"user_id":"u","query":"` + canaryWord + `"} {}`, "invalid_json", ""},
	{"/think", `{"user_id":"u","query":"` + canaryWord + `"} x`, "invalid_json", ""},
	{"/think", "{\"user_id\":\"u\",\"query\":\"" + canaryWord + "\xff\"}", "invalid_json", ""},
	{"/think", `{"user_id":"u","query":"` + canaryWord + `\ud800"}`, "invalid_json", ""},
	{"/think", `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "invalid_json", ""},
	{"/think", `{"query":"` + canaryWord + `"}`, "missing_required_parameter", "user_id"},
	{"/think", `{"user_id":null,"query":"` + canaryWord + `"}`, "missing_required_parameter", "user_id"},
	{"/think", `{"user_id":"u"}`, "missing_required_parameter", "query"},
	{"/think", `{"user_id":"","query":"` + canaryWord + `"}`, "invalid_value", "user_id"},
	{"/think", `{"user_id":"u","query":" \n\u3000"}`, "invalid_value", "query"},
	{"/think", `{"user_id":"` + strings.Repeat("あ", 43) + `","query":"` + canaryWord + `"}`, "invalid_value", "user_id"},
	{"/think", `{"user_id":"a\u0007` + canaryWord + `","query":"q"}`, "invalid_value", "user_id"},
	{"/think", `{"user_id":7,"query":"` + canaryWord + `"}`, "invalid_type", "user_id"},
	{"/think", `{"user_id":"u","query":["` + canaryWord + `"]}`, "invalid_type", "query"},
	{"/think", thinkWith(`"` + canaryWord + `-x":1`), "unknown_parameter", ""},
	{"/think", thinkWith(`"stream":true`), "unknown_parameter", "stream"},
	{"/think", thinkWith(`"max_new_tokens":0`), "invalid_value", "max_new_tokens"},
	{"/think", thinkWith(`"max_new_tokens":1.5`), "invalid_type", "max_new_tokens"},
	{"/think", thinkWith(`"max_new_tokens":"8"`), "invalid_type", "max_new_tokens"},
	{"/think", thinkWith(`"max_new_tokens":99999999999999999999999`), "invalid_value", "max_new_tokens"},
	{"/think", thinkWith(`"temperature":1e999`), "invalid_value", "temperature"},
	{"/think", thinkWith(`"temperature":-0.1`), "invalid_value", "temperature"},
	{"/think", thinkWith(`"temperature":"` + canaryWord + `"`), "invalid_type", "temperature"},
	{"/think", thinkWith(`"top_p":0`), "invalid_value", "top_p"},
	{"/think", thinkWith(`"top_p":1.01`), "invalid_value", "top_p"},

	{"/v1/chat/completions", `{"messages":[` + turn + `]}`, "missing_required_parameter", "model"},
	{"/v1/chat/completions", `{"model":"so8t"}`, "missing_required_parameter", "messages"},
	{"/v1/chat/completions", messagesOf(`[]`), "invalid_type", "messages"},
	{"/v1/chat/completions", messagesOf(`"` + canaryWord + `"`), "invalid_type", "messages"},
	{"/v1/chat/completions", messagesOf(`["` + canaryWord + `"]`), "invalid_type", "messages[0]"},
	{"/v1/chat/completions", messagesOf(`[{"content":"` + canaryWord + `"}]`), "missing_required_parameter", "messages[0].role"},
	{"/v1/chat/completions", messagesOf(`[{"role":"` + canaryWord + `","content":"x"}]`), "unsupported_parameter", "messages[0].role"},
	{"/v1/chat/completions", messagesOf(`[` + turn + `,{"role":"tool","content":"x","tool_call_id":"1"}]`), "unsupported_parameter", "messages[1].role"},
	{"/v1/chat/completions", messagesOf(`[` + turn + `,{"role":"assistant","content":"` + canaryWord + `"}]`), "unsupported_parameter", "messages[1].role"},
	{"/v1/chat/completions", messagesOf(`[` + turn + `,{"role":"assistant","tool_calls":[{"id":"` + canaryWord + `"}]},` + turn + `]`),
		"unsupported_parameter", "messages[1].tool_calls"},
	{"/v1/chat/completions", messagesOf(`[{"role":"system","content":"` + canaryWord + `"}]`), "invalid_value", "messages[0].role"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user","content":"  "}]`), "invalid_value", "messages[0].content"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user"}]`), "missing_required_parameter", "messages[0].content"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user","content":7}]`), "invalid_type", "messages[0].content"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + canaryWord + `"}}]}]`),
		"unsupported_parameter", "messages[0].content[0].type"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user","content":[{"type":"text"}]}]`), "missing_required_parameter", "messages[0].content[0].text"},
	{"/v1/chat/completions", messagesOf(`[{"role":"user","content":["` + canaryWord + `"]}]`), "invalid_type", "messages[0].content[0]"},
	{"/v1/chat/completions", chatWith(`"n":2`), "unsupported_parameter", "n"},
	{"/v1/chat/completions", chatWith(`"logprobs":true`), "unsupported_parameter", "logprobs"},
	{"/v1/chat/completions", chatWith(`"top_logprobs":3`), "unsupported_parameter", "top_logprobs"},
	{"/v1/chat/completions", chatWith(`"echo":true`), "unsupported_parameter", "echo"},
	{"/v1/chat/completions", chatWith(`"logit_bias":{"5":100}`), "unsupported_parameter", "logit_bias"},
	{"/v1/chat/completions", chatWith(`"tools":[{"type":"function"}]`), "unsupported_parameter", "tools"},
	{"/v1/chat/completions", chatWith(`"tool_choice":"auto"`), "unsupported_parameter", "tool_choice"},
	{"/v1/chat/completions", chatWith(`"functions":[{}]`), "unsupported_parameter", "functions"},
	{"/v1/chat/completions", chatWith(`"response_format":{"type":"json_object"}`), "unsupported_parameter", "response_format"},
	{"/v1/chat/completions", chatWith(`"modalities":["text","audio"]`), "unsupported_parameter", "modalities"},
	{"/v1/chat/completions", chatWith(`"audio":{"voice":"` + canaryWord + `"}`), "unsupported_parameter", "audio"},
	{"/v1/chat/completions", chatWith(`"prediction":{"content":"` + canaryWord + `"}`), "unsupported_parameter", "prediction"},
	{"/v1/chat/completions", chatWith(`"stop":["a","b","c","d","e"]`), "invalid_value", "stop"},
	{"/v1/chat/completions", chatWith(`"stop":[1]`), "invalid_type", "stop"},
	{"/v1/chat/completions", chatWith(`"stop":""`), "invalid_value", "stop"},
	{"/v1/chat/completions", chatWith(`"stop":{}`), "invalid_type", "stop"},
	{"/v1/chat/completions", chatWith(`"seed":1.5`), "invalid_type", "seed"},
	{"/v1/chat/completions", chatWith(`"seed":18446744073709551616`), "invalid_value", "seed"},
	{"/v1/chat/completions", chatWith(`"stream":"yes"`), "invalid_type", "stream"},
	{"/v1/chat/completions", chatWith(`"stream_options":{"include_usage":true}`), "invalid_value", "stream_options"},
	{"/v1/chat/completions", chatWith(`"stream":true,"stream_options":{"include_usage":1}`), "invalid_type", "stream_options.include_usage"},
	{"/v1/chat/completions", chatWith(`"stream":true,"stream_options":[]`), "invalid_type", "stream_options"},
	{"/v1/chat/completions", chatWith(`"max_tokens":-1`), "invalid_value", "max_tokens"},
	{"/v1/chat/completions", chatWith(`"max_tokens":-1,"max_completion_tokens":5`), "invalid_value", "max_tokens"},
	{"/v1/chat/completions", chatWith(`"max_completion_tokens":0`), "invalid_value", "max_completion_tokens"},
	{"/v1/chat/completions", chatWith(`"user":"a\nb"`), "invalid_value", "user"},
	{"/v1/chat/completions", chatWith(`"safety_identifier":"` + strings.Repeat("x", 129) + `"`), "invalid_value", "safety_identifier"},
}

func thinkWith(member string) string {
	return `{"user_id":"` + canaryWord + `","query":"` + canaryWord + `",` + member + `}`
}

func chatWith(member string) string {
	return `{"model":"so8t","messages":[{"role":"user","content":"` + canaryWord + `"}],` + member + `}`
}

func messagesOf(messages string) string { return `{"model":"so8t","messages":` + messages + `}` }

func TestFaultyBodiesAreRefusedAndNeverQuoted(t *testing.T) {
	f := &fake{}
	h := open(t, f, nil)
	for _, c := range faulty {
		r := h.do(t, "POST", c.path, c.body)
		e := r.fault(t)
		param := ""
		if e.Param != nil {
			param = *e.Param
		}
		if r.StatusCode != http.StatusBadRequest || e.Type != invalidRequest || e.Code != c.code || param != c.param {
			t.Errorf("%s %.120s\n got %d %s %q (%s)\nwant 400 %s %q", c.path, c.body, r.StatusCode, e.Code, param, e.Message, c.code, c.param)
		}
		if strings.Contains(r.body, canaryWord) {
			t.Errorf("the error quotes the request: %s", r.body)
		}
	}
	if f.last().ID != "" {
		t.Error("a faulty request was answered")
	}
	if strings.Contains(h.log.String(), canaryWord) {
		t.Error("the log quotes a request")
	}
}

func TestRequestsThatMissTheRoutes(t *testing.T) {
	h := open(t, &fake{}, func(o *Options) { o.Body = 1000 })
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code, allow        string
	}{
		{"GET", "/think", "", nil, 405, "method_not_allowed", "POST"},
		{"DELETE", "/v1/models", "", nil, 405, "method_not_allowed", "GET, HEAD"},
		{"OPTIONS", "/think", "", nil, 405, "method_not_allowed", "POST"},
		{"POST", "/", "{}", nil, 405, "method_not_allowed", "GET, HEAD"},
		{"GET", "/" + canaryWord, "", nil, 404, "not_found", ""},
		{"GET", "//think/../" + canaryWord, "", nil, 404, "not_found", ""},
		{"POST", "/think/", "{}", nil, 404, "not_found", ""},
		{"GET", "/v1/models/" + canaryWord, "", nil, 404, "model_not_found", ""},
		{"GET", "/v1/models/", "", nil, 404, "model_not_found", ""},
		{"GET", "/v1/escalations/" + canaryWord, "", nil, 404, "escalation_not_found", ""},
		{"POST", "/v1/chat/completions", `{"model":"` + canaryWord + `","messages":[` + turn + `]}`, nil, 404, "model_not_found", ""},
		{"POST", "/think", thinkWith(`"top_p":1`), []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", ""},
		{"POST", "/think", thinkWith(`"top_p":1`), []string{"Content-Type", "application/json; charset=shift_jis"}, 415, "unsupported_media_type", ""},
		{"POST", "/think", thinkWith(`"top_p":1`), []string{"Content-Encoding", "gzip"}, 415, "unsupported_encoding", ""},
		{"POST", "/think", thinkWith(`"x":"` + strings.Repeat("a", 1000) + `"`), nil, 413, "body_too_large", ""},
		{"POST", "/think", thinkWith(`"top_p":1`), []string{"Origin", "https://" + canaryWord + ".example"}, 403, "cross_origin", ""},
		{"POST", "/think", thinkWith(`"top_p":1`), []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin", ""},
	} {
		r := h.do(t, c.method, c.path, c.body, c.headers...)
		if e := r.fault(t); r.StatusCode != c.status || e.Code != c.code || r.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %s allow %q, want %d %s %q", c.method, c.path, r.StatusCode, e.Code, r.Header.Get("Allow"), c.status, c.code, c.allow)
		}
		if strings.Contains(r.body, canaryWord) {
			t.Errorf("the error quotes the request: %s", r.body)
		}
	}
	if strings.Contains(h.log.String(), canaryWord) {
		t.Error("the log quotes a request")
	}
}

func TestOtherNamesOfALoopbackServerAreRefused(t *testing.T) {
	h := open(t, &fake{}, func(o *Options) { o.Loopback = true })
	for host, status := range map[string]int{"localhost": 200, "LOCALHOST:8088": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "[::1]": 200,
		"rebound.example": 403, "localhost.rebound.example:80": 403, "192.0.2.7": 403} {
		if r := h.think(t, "質問", "Host", host); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", host, r.StatusCode, status)
		}
	}
}

func FuzzBodies(f *testing.F) {
	for _, c := range faulty {
		f.Add(c.path == "/think", c.body)
	}
	s := New(Options{Answerer: &fake{}, ModelName: "so8t"})
	f.Fuzz(func(t *testing.T, think bool, body string) {
		path := "/v1/chat/completions"
		if think {
			path = "/think"
		}
		r, w := httptest.NewRequest("POST", path, strings.NewReader(body)), httptest.NewRecorder()
		r.Header.Set("Content-Type", "application/json")
		// An object of many members with short names takes most: a map's entry and a copy of each.
		fuzzguard.Call(t, len(body), fuzzguard.Bound{PerByte: 256, Fixed: 1 << 20}, func() { s.ServeHTTP(w, r) })
		if w.Code >= 500 || w.Code == 200 && !json.Valid([]byte(body)) {
			t.Fatalf("%d for %q", w.Code, body)
		}
	})
}
