package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"so8t/serve/guard"
	"so8t/tokenizer"
)

func TestThinkAnswers(t *testing.T) {
	f := &fake{}
	h := open(t, f, nil)
	r := h.do(t, "POST", "/think", `{"user_id":"田中","query":"ごみの日は?","max_new_tokens":9,"temperature":0.5,"top_p":0.25}`,
		"X-Stainless-Retry-Count", "2")
	var got map[string]any
	r.decode(t, &got)
	want := map[string]any{"answer": "火曜は可燃ごみの日です。", "safety_label": "ALLOW", "safety_conf": 0.97, "escalated": false,
		"internal_reasoning_hash": "hmac:abc", "model": digest, "finish_reason": "stop", "request_id": r.Header.Get("X-Request-Id")}
	if r.StatusCode != http.StatusOK || !reflect.DeepEqual(got, want) {
		t.Errorf("%d\n got %v\nwant %v", r.StatusCode, got, want)
	}
	q := f.last()
	q.Seed = 0
	if asked := (guard.Request{ID: r.Header.Get("X-Request-Id"), User: "田中", Messages: []tokenizer.Message{{Role: "user", Content: "ごみの日は?"}},
		MaxNewTokens: 9, Temperature: 0.5, TopP: 0.25, Retry: 2}); !reflect.DeepEqual(q, asked) {
		t.Errorf("asked %+v\nwant  %+v", q, asked)
	}
	h.do(t, "POST", "/think", `{"user_id":"u","query":"q"}`)
	if q := f.last(); q.MaxNewTokens != 0 || q.Temperature != 0 || q.TopP != 1 {
		t.Errorf("defaults: %+v", q)
	}
}

// What clients spell out and asks for nothing is taken, and so are fields that nobody here knows.
func TestChatTakesWhatChangesNothing(t *testing.T) {
	f := &fake{}
	h := open(t, f, nil)
	body := `{"model":"so8t","messages":[{"role":"developer","content":"短く答える。"},
		{"role":"user","content":[{"type":"text","text":"ごみ"},{"type":"text","text":"の日は?"}]},
		{"role":"assistant","content":"火曜です。","refusal":null,"tool_calls":[]},{"role":"user","content":"資源ごみは?","name":"t"}],
		"max_tokens":99,"max_completion_tokens":12,"temperature":null,"seed":-3,"stop":["。","\n"],"n":1,"stream":false,"user":"old","safety_identifier":"new",
		"tools":[],"tool_choice":"none","logprobs":false,"top_logprobs":0,"logit_bias":{},"response_format":{"type": "text"},"modalities":["text"],"audio":null,
		"store":true,"metadata":{"a":"b"},"service_tier":"auto","parallel_tool_calls":true,"` + canaryWord + `":{"x":1}}`
	r := h.do(t, "POST", "/v1/chat/completions", body)
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.body)
	}
	q := f.last()
	want := guard.Request{ID: q.ID, User: "new", MaxNewTokens: 12, TopP: 1, Seed: ^uint64(2), Stop: []string{"。", "\n"},
		Messages: []tokenizer.Message{{Role: "system", Content: "短く答える。"}, {Role: "user", Content: "ごみの日は?"},
			{Role: "assistant", Content: "火曜です。"}, {Role: "user", Content: "資源ごみは?"}}}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("asked %+v\nwant  %+v", q, want)
	}
	var c struct {
		ID, Object, Model string
		Created           int64
		Choices           []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage map[string]any
		So8t  map[string]any
	}
	r.decode(t, &c)
	if c.ID != q.ID || c.Object != "chat.completion" || c.Model != "so8t" || c.Created == 0 || len(c.Choices) != 1 ||
		c.Choices[0].Message.Content != "火曜は可燃ごみの日です。" || c.Choices[0].FinishReason != "stop" || c.So8t["safety_label"] != "ALLOW" {
		t.Errorf("%s", r.body)
	}
	scraped := h.scrape(t)
	if !strings.Contains(scraped, "so8t_unknown_fields_total 2\n") || strings.Contains(scraped, canaryWord) {
		t.Errorf("unknown fields are not counted:\n%s", scraped)
	}
	if r := h.do(t, "POST", "/v1/chat/completions", strings.Replace(body, `"so8t"`, `"`+digest+`"`, 1)); r.StatusCode != http.StatusOK {
		t.Errorf("by digest: %s", r.body)
	}
}

func TestUsageShowsWhatItIsToldTo(t *testing.T) {
	for mode, want := range map[string]string{
		UsageVisible: `{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}`,
		UsageAll:     `{"prompt_tokens":7,"completion_tokens":45,"total_tokens":52,"completion_tokens_details":{"reasoning_tokens":40}}`,
		UsageNone:    ``,
	} {
		h := open(t, &fake{}, func(o *Options) { o.Usage = mode })
		var c struct{ Usage json.RawMessage }
		h.do(t, "POST", "/v1/chat/completions", chatWith(`"n":1`)).decode(t, &c)
		if string(c.Usage) != want {
			t.Errorf("%s: %s, want %s", mode, c.Usage, want)
		}
		chunks := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true,"stream_options":{"include_usage":true}`)).body
		if want != "" && !strings.Contains(chunks, `"choices":[],"usage":`+want) || want == "" && strings.Contains(chunks, "usage") {
			t.Errorf("%s, streamed: %s", mode, chunks)
		}
	}
}

func TestModels(t *testing.T) {
	h := open(t, &fake{}, nil)
	var list struct{ Data []model }
	h.do(t, "GET", "/v1/models", "").decode(t, &list)
	if len(list.Data) != 1 || list.Data[0].ID != "so8t" || list.Data[0].Digest != digest {
		t.Errorf("%+v", list)
	}
	for _, id := range []string{"so8t", digest} {
		var m model
		h.do(t, "GET", "/v1/models/"+id, "").decode(t, &m)
		if m != list.Data[0] {
			t.Errorf("%s: %+v", id, m)
		}
	}
}
