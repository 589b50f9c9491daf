package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"so8t/serve/guard"
)

// fake is an Answerer that says what a test wants, and remembers what it was asked.
type fake struct {
	mu     sync.Mutex
	asked  guard.Request
	answer func(ctx context.Context, r guard.Request, sink guard.Sink) (guard.Result, error)
}

const digest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

var allowed = guard.Verdict{Label: "ALLOW", Confidence: 0.97, ReasoningHash: "hmac:abc", Model: digest}

func (f *fake) Answer(ctx context.Context, r guard.Request, sink guard.Sink) (guard.Result, error) {
	f.mu.Lock()
	f.asked = r
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		return answer(ctx, r, sink)
	}
	return play(sink, allowed, "火曜は", "可燃ごみの", "日です。")
}

// play has an answer leave in pieces.
func play(sink guard.Sink, v guard.Verdict, pieces ...string) (guard.Result, error) {
	if err := sink.Begin(v); err != nil {
		return guard.Result{}, err
	}
	for _, p := range pieces {
		if err := sink.Text(p); err != nil {
			return guard.Result{}, err
		}
	}
	return guard.Result{Verdict: v, Answer: strings.Join(pieces, ""), FinishReason: guard.Stop, PromptTokens: 7, CompletionTokens: 5, ReasoningTokens: 40}, nil
}

// last is the request that the fake was asked last.
func (f *fake) last() guard.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// failing is a fake that answers with an error.
func failing(err error) *fake {
	return &fake{answer: func(context.Context, guard.Request, guard.Sink) (guard.Result, error) { return guard.Result{}, err }}
}

// house is a server under test, and its log.
type house struct {
	*Server
	url string
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open serves the answerer on a loopback address. change may be nil.
func open(t testing.TB, a Answerer, change func(*Options)) *house {
	t.Helper()
	h := &house{log: &lockedBuffer{}}
	o := Options{Answerer: a, Model: func() string { return digest }, ModelName: "so8t", Log: slog.New(slog.NewTextHandler(h.log, nil))}
	if change != nil {
		change(&o)
	}
	h.Server = New(o)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// reply is what came back.
type reply struct {
	*http.Response
	body string
}

func (r reply) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
}

// fault is the error of the reply.
func (r reply) fault(t testing.TB) failure {
	t.Helper()
	var b struct{ Error *failure }
	r.decode(t, &b)
	if b.Error == nil || b.Error.Message == "" || b.Error.Type == "" || b.Error.Code == "" {
		t.Fatalf("not an error of OpenAI's shape: %q", r.body)
	}
	return *b.Error
}

// do sends a request. headers are name and value by turns.
func (h *house) do(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if id := response.Header.Get("X-Request-Id"); len(id) != len("req_")+24 {
		t.Errorf("X-Request-Id %q", id)
	}
	return reply{response, string(text)}
}

func (h *house) think(t testing.TB, query string, headers ...string) reply {
	t.Helper()
	text, _ := json.Marshal(map[string]any{"user_id": "u", "query": query})
	return h.do(t, "POST", "/think", string(text), headers...)
}

// keysFile writes a file of keys, and returns the secrets in the order of the names.
func keysFile(t testing.TB, names ...string) (path string, secrets []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	var b strings.Builder
	for _, name := range names {
		secret, line, err := GenerateKey(name)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
		secrets = append(secrets, secret)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, secrets
}

func withKeys(t testing.TB, names ...string) (change func(*Options), secrets []string) {
	t.Helper()
	path, secrets := keysFile(t, names...)
	keys, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Keys = keys }, secrets
}
