package api

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"so8t/quadruple/quadrupletest"
	"so8t/serve/guard"
	"so8t/serve/servetest"
)

const fallback = "お答えできません。"

// guarded serves a real guard before a model that plays outputs.
func guarded(t testing.TB, model *servetest.Model, auditor *servetest.Auditor, change func(*Options)) *house {
	t.Helper()
	g := guard.New(servetest.Serve(model), auditor, &servetest.Escalator{},
		guard.Options{MaxNewTokens: 1 << 16, MinConfidence: 0.5, Refusal: "model", Fallback: fallback})
	return open(t, g, func(o *Options) {
		o.Model = model.Digest
		if change != nil {
			change(o)
		}
	})
}

// What leaves of each output is exactly what the set says, cut in any way, by every route.
func TestCasesLeak(t *testing.T) {
	var pieces []string // of the one request under way
	h := guarded(t, &servetest.Model{Play: func(string) servetest.Output { return servetest.Say(pieces...) }}, &servetest.Auditor{}, nil)
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range quadrupletest.Cases(t) {
		want := c.Answer
		if want == "" {
			want = fallback
		}
		cuts := quadrupletest.Cuts(t, c.Output, r)
		for way := range cuts {
			pieces = cuts[way]
			var thought struct{ Answer string }
			h.think(t, "在庫は?").decode(t, &thought)
			var whole struct {
				Choices []struct{ Message struct{ Content string } }
			}
			h.do(t, "POST", "/v1/chat/completions", chatWith(`"n":1`)).decode(t, &whole)
			streamed := h.do(t, "POST", "/v1/chat/completions", chatWith(`"stream":true`)).body
			for route, got := range map[string]string{"think": thought.Answer, "chat": whole.Choices[0].Message.Content, "stream": joined(t, streamed)} {
				if got != want {
					t.Errorf("%s, %s, %s: %q, want %q: %s", c.ID, way, route, got, want, c.Why)
				}
			}
			if !strings.HasSuffix(streamed, "data: [DONE]\n\n") {
				t.Errorf("%s, %s: the stream ends in %q", c.ID, way, streamed[max(0, len(streamed)-60):])
			}
		}
	}
}

// stop strings are looked for in what is visible: neither what is shown nor why it ended depends on the thinking.
func TestStopDoesNotSeeTheThinking(t *testing.T) {
	h := guarded(t, &servetest.Model{Play: func(string) servetest.Output {
		return servetest.Characters(servetest.Answer("ALLOW", "はい、そうです。"))
	}},
		&servetest.Auditor{}, nil)
	for stop, want := range map[string]string{servetest.Canary: "はい、そうです。stop", "依頼": "はい、そうです。stop", "、": "はいstop", "。": "はい、そうですstop"} {
		text, _ := json.Marshal(stop)
		var c struct {
			Choices []struct {
				Message      struct{ Content string }
				FinishReason string `json:"finish_reason"`
			}
		}
		h.do(t, "POST", "/v1/chat/completions", chatWith(`"stop":`+string(text))).decode(t, &c)
		if got := c.Choices[0].Message.Content + c.Choices[0].FinishReason; got != want {
			t.Errorf("stop %q: %q, want %q", stop, got, want)
		}
	}
}
