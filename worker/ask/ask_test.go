package ask

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// printed is what the command writes on the terminal.
func printed(t *testing.T, c Command) (string, error) {
	t.Helper()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	err = c.Run(t.Context())
	_ = w.Close()
	text, _ := io.ReadAll(r)
	return string(text), err
}

func TestAsk(t *testing.T) {
	t.Setenv("ASK_KEY", "k1")
	var looked atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if looked.Add(1) < 3 {
			http.Error(w, "loading", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /think", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			User  string `json:"user_id"`
			Query string `json:"query"`
		}
		switch err := json.NewDecoder(r.Body).Decode(&q); {
		case err != nil || q.User != "u" || r.Header.Get("Authorization") != "Bearer k1":
			t.Error(err, q, r.Header)
		case q.Query == "broken":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":{"message":"the audit log cannot be written","code":"audit_unavailable"}}`)
		default:
			_, _ = io.WriteString(w, `{"answer":"承知しました。","safety_label":"ALLOW","safety_conf":0.987,"internal_reasoning_hash":"hmac:k1:0123456789abcdef"}`)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := Command{URL: server.URL, User: "u", KeyEnv: "ASK_KEY", Questions: []string{"会社案内を要約してください。"}}
	if _, err := printed(t, c); err == nil || !strings.Contains(err.Error(), "is not ready: loading") {
		t.Error(err)
	}
	c.Wait = 10 * time.Second
	out, err := printed(t, c)
	const want = "  question                      answer          label  confidence  reasoning\n" +
		"  会社案内を要約してください。  承知しました。  ALLOW        0.99  hmac:k1:0123456789ab…\n"
	if out != want || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	c.Questions = []string{"broken"}
	if _, err := printed(t, c); err == nil || !strings.Contains(err.Error(), "503 audit_unavailable: the audit log cannot be written") {
		t.Error(err)
	}
}
