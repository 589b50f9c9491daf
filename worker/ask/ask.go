// Package ask is a client of a running server, for people at a terminal: it puts questions to /think and prints what comes
// back.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"so8t/worker/table"
)

// Command puts questions to a server, one after the other.
type Command struct {
	URL       string        `default:"http://127.0.0.1:8088" help:"The server."`
	KeyEnv    string        `placeholder:"NAME" help:"Environment variable with the API key, where the server asks for one."`
	User      string        `default:"terminal" help:"user_id of the questions."`
	Wait      time.Duration `default:"0s" help:"How long to wait for a server that is starting."`
	Questions []string      `arg:"" name:"question" help:"A question for each argument."`
}

// answer is that of POST /think.
type answer struct {
	Answer        string  `json:"answer"`
	Label         string  `json:"safety_label"`
	Confidence    float64 `json:"safety_conf"`
	ReasoningHash string  `json:"internal_reasoning_hash"`
}

// Run asks, and prints a table of questions, answers, labels, confidences and hashes of the thinking.
func (c *Command) Run(ctx context.Context) error {
	if err := c.untilReady(ctx); err != nil {
		return err
	}
	var t table.Table
	t.Row("question", "answer", "label", "confidence", "reasoning")
	for _, question := range c.Questions {
		a, err := c.ask(ctx, question)
		if err != nil {
			return err
		}
		t.Row(question, a.Answer, a.Label, table.Amount(fmt.Sprintf("%.2f", a.Confidence)), short(a.ReasoningHash))
	}
	t.Print(os.Stdout)
	return nil
}

// short is the beginning of a hash such as hmac:k1:HEX.
func short(hash string) string {
	digits := strings.LastIndex(hash, ":") + 1
	return hash[:min(digits+12, len(hash))] + "…"
}

// untilReady returns once the server is ready, or says why it is not, after Wait.
func (c *Command) untilReady(ctx context.Context) error {
	for end := time.Now().Add(c.Wait); ; {
		status, body, err := c.do(ctx, http.MethodGet, "/readyz", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s is not ready: %s", c.URL, strings.TrimSpace(string(body)))
		}
		if err == nil || !time.Now().Before(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Command) ask(ctx context.Context, question string) (a answer, err error) {
	request, err := json.Marshal(map[string]any{"user_id": c.User, "query": question})
	if err != nil {
		return a, err
	}
	status, body, err := c.do(ctx, http.MethodPost, "/think", request)
	if err != nil {
		return a, err
	}
	if status != http.StatusOK {
		var refused struct {
			Error struct{ Message, Code string }
		}
		_ = json.Unmarshal(body, &refused)
		return a, fmt.Errorf("%s answers %d %s: %s", c.URL, status, refused.Error.Code, refused.Error.Message)
	}
	return a, json.Unmarshal(body, &a)
}

func (c *Command) do(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.KeyEnv != "" {
		r.Header.Set("Authorization", "Bearer "+os.Getenv(c.KeyEnv))
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, answer, err
}
