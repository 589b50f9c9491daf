package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"so8t/serve/guard"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// client is openai-go's, as its users set it up.
func (h *house) client(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(h.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func asking(query string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "so8t", Messages: []openai.ChatCompletionMessageParamUnion{
		openai.DeveloperMessage("短く答える。"), openai.UserMessage(query)}}
}

func TestOpenAIGoAsks(t *testing.T) {
	change, secrets := withKeys(t, "team-a")
	f := &fake{}
	h := open(t, f, change)
	client := h.client(secrets[0])
	q := asking("ごみの日は?")
	q.MaxCompletionTokens, q.Seed, q.User = openai.Int(20), openai.Int(5), openai.String("田中")
	c, err := client.Chat.Completions.New(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if c.Choices[0].Message.Content != "火曜は可燃ごみの日です。" || c.Choices[0].FinishReason != "stop" ||
		c.Usage.CompletionTokens != 5 || c.Model != "so8t" {
		t.Errorf("%+v", c)
	}
	if so8t := c.JSON.ExtraFields["so8t"].Raw(); !strings.Contains(so8t, `"safety_label":"ALLOW"`) {
		t.Errorf("so8t %s", so8t)
	}
	if r := f.last(); r.Key != "team-a" || r.User != "田中" || r.MaxNewTokens != 20 || r.Seed != 5 || len(r.Messages) != 2 || r.Messages[0].Role != "system" {
		t.Errorf("%+v", r)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "so8t" {
		t.Errorf("%v %v", models, err)
	}
	if m, err := client.Models.Get(t.Context(), "so8t"); err != nil || m.ID != "so8t" {
		t.Errorf("%v %v", m, err)
	}
}

func TestOpenAIGoStreams(t *testing.T) {
	h := open(t, &fake{}, nil)
	client := h.client("unused")
	q := asking("ごみの日は?")
	q.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), q)
	var all openai.ChatCompletionAccumulator
	var so8t string
	for stream.Next() {
		chunk := stream.Current()
		if !all.AddChunk(chunk) {
			t.Errorf("not taken: %s", chunk.RawJSON())
		}
		so8t += chunk.JSON.ExtraFields["so8t"].Raw()
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if all.Choices[0].Message.Content != "火曜は可燃ごみの日です。" || all.Choices[0].FinishReason != "stop" || all.Usage.TotalTokens != 12 ||
		!strings.Contains(so8t, `"internal_reasoning_hash":"hmac:abc"`) {
		t.Errorf("%+v %s", all, so8t)
	}
}

func TestOpenAIGoSeesErrors(t *testing.T) {
	change, secrets := withKeys(t, "team-a")
	tooLong := &guard.Error{Kind: guard.Invalid, Code: "context_length_exceeded", Param: "messages", Message: "The prompt has 9000 tokens; 4096 fit."}
	full := &guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}
	for _, c := range []struct {
		err    error
		secret string
		change func(*openai.ChatCompletionNewParams)
		status int
		code   string
	}{
		{nil, "wrong", nil, 401, "invalid_api_key"},
		{full, secrets[0], nil, 429, "queue_full"},
		{tooLong, secrets[0], nil, 400, "context_length_exceeded"},
		{nil, secrets[0], func(q *openai.ChatCompletionNewParams) { q.Logprobs = openai.Bool(true) }, 400, "unsupported_parameter"},
		{nil, secrets[0], func(q *openai.ChatCompletionNewParams) { q.Model = "gpt-9" }, 404, "model_not_found"},
	} {
		f := &fake{}
		if c.err != nil {
			f = failing(c.err)
		}
		client := open(t, f, change).client(c.secret)
		q := asking("q")
		if c.change != nil {
			c.change(&q)
		}
		_, err := client.Chat.Completions.New(t.Context(), q)
		stream := client.Chat.Completions.NewStreaming(t.Context(), q)
		stream.Next()
		for _, err := range []error{err, stream.Err()} {
			var e *openai.Error
			if !errors.As(err, &e) || e.StatusCode != c.status || e.Code != c.code || e.Message == "" {
				t.Errorf("%d %s: %v", c.status, c.code, err)
			}
		}
	}
}

// A stream that breaks off is an error to a client that would take a silent end for a whole answer.
func TestOpenAIGoSeesAStreamFail(t *testing.T) {
	h := open(t, &fake{answer: func(_ context.Context, _ guard.Request, sink guard.Sink) (guard.Result, error) {
		_, _ = play(sink, allowed, "半分")
		return guard.Result{}, &guard.Error{Kind: guard.Failed, Code: "engine", Message: "x"}
	}}, nil)
	client := h.client("unused")
	stream := client.Chat.Completions.NewStreaming(t.Context(), asking("q"))
	pieces := 0
	for stream.Next() {
		pieces++
	}
	if stream.Err() == nil || pieces != 2 {
		t.Errorf("%d pieces, %v", pieces, stream.Err())
	}
}

// openai-go waits as Retry-After says and asks again: that it does is counted.
func TestOpenAIGoAsksAgain(t *testing.T) {
	asked := 0
	f := &fake{answer: func(_ context.Context, r guard.Request, sink guard.Sink) (guard.Result, error) {
		if asked++; r.Retry != asked-1 {
			t.Errorf("try %d says it is try %d", asked-1, r.Retry)
		}
		if asked == 1 {
			return guard.Result{}, &guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}
		}
		return play(sink, allowed, "はい")
	}}
	h := open(t, f, nil)
	begun := time.Now()
	client := openai.NewClient(option.WithBaseURL(h.url+"/v1"), option.WithAPIKey("unused"))
	if c, err := client.Chat.Completions.New(t.Context(), asking("q")); err != nil || c.Choices[0].Message.Content != "はい" {
		t.Errorf("%v %v", c, err)
	}
	if waited := time.Since(begun); waited < time.Second || asked != 2 {
		t.Errorf("asked %d times within %v", asked, waited)
	}
}

// openai-python does the same, where SO8T_PEER_PYTHON names a Python that has it.
func TestOpenAIPython(t *testing.T) {
	python := os.Getenv("SO8T_PEER_PYTHON")
	if python == "" || exec.CommandContext(t.Context(), python, "-c", "import openai").Run() != nil {
		t.Skip("SO8T_PEER_PYTHON names no Python with openai")
	}
	change, secrets := withKeys(t, "team-a")
	h := open(t, &fake{answer: func(_ context.Context, r guard.Request, sink guard.Sink) (guard.Result, error) {
		switch r.Messages[len(r.Messages)-1].Content {
		case "full":
			return guard.Result{}, &guard.Error{Kind: guard.Busy, Code: "queue_full", Message: "The queue is full."}
		case "long":
			return guard.Result{}, &guard.Error{Kind: guard.Invalid, Code: "context_length_exceeded", Param: "messages", Message: "The prompt is too long."}
		case "break":
			_, _ = play(sink, allowed, "半分")
			return guard.Result{}, errors.New("broken")
		}
		return play(sink, allowed, "火曜は", "可燃ごみの", "日です。")
	}}, change)
	command := exec.CommandContext(t.Context(), python, "testdata/openai_client.py", h.url+"/v1", secrets[0])
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if r := h.think(t, "q"); r.StatusCode != http.StatusUnauthorized {
		t.Error(r.StatusCode)
	}
}
