package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/protobuf/encoding/protojson"

	"so8t/contract"
)

// prompts are the questions of the demo's first records.
func prompts(t *testing.T, n int) (questions []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "demo", "data", "four_class_demo.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.SplitN(text, []byte("\n"), n+1)[:n] {
		var record struct {
			Instruction string `json:"instruction"`
		}
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		questions = append(questions, record.Instruction)
	}
	return questions
}

// escalated asks until an answer is labelled ESCALATION.
func (s *server) escalated() (question string, a thought) {
	s.t.Helper()
	for _, question = range prompts(s.t, 40) {
		a, status, err := s.think(question)
		if err != nil || status != http.StatusOK {
			s.t.Fatal(status, err)
		}
		if a.Label == "ESCALATION" {
			return question, a
		}
	}
	s.t.Fatal("none of 40 questions is labelled ESCALATION")
	return "", thought{}
}

func (s *server) status(id string) (status string) {
	code, body, err := s.do(http.MethodGet, "/v1/escalations/"+id, nil)
	var e struct{ Status string }
	if err != nil || code != http.StatusOK || json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Status
}

// A request labelled ESCALATION waits for a person, also while the Temporal server is away. Its client hears of the
// decision, which is in the audit log. Nothing in the server's history can be read without the key.
func TestEscalation(t *testing.T) {
	cli, err := filepath.Abs(filepath.Join(root, "bin", "temporal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cli); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	quiet := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	temporal, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{ExistingPath: cli, LogLevel: "error",
		ClientOptions: &client.Options{Logger: quiet}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = temporal.Stop() })
	t.Setenv("THINK_CODEC_KEY", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	t.Setenv("TEMPORAL_NAMESPACE", "default")

	dir := home(t)
	arguments := []string{"--set=serve.escalate=true", "--set=serve.escalation.codec_key_env=THINK_CODEC_KEY"}
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1") // nobody answers there
	s := start(t, dir, arguments...)
	question, a := s.escalated()
	if !a.Escalated || a.EscalationID != contract.EscalationID(a.RequestID) {
		t.Fatalf("%+v", a)
	}
	if got := s.status(a.EscalationID); got != "queued" {
		t.Errorf("without a Temporal server: %q", got)
	}
	_ = s.stop(os.Kill)

	t.Setenv("TEMPORAL_ADDRESS", temporal.FrontendHostPort())
	s = start(t, dir, arguments...)
	s.until("the case is started", func() bool { return s.status(a.EscalationID) == "pending" })
	// In clear, as the Web UI sends it.
	deny := contract.Decision{Decision: contract.Deny, Note: "no"}
	if err := temporal.Client().SignalWorkflow(t.Context(), a.EscalationID, "", contract.VerbDecide, deny); err != nil {
		t.Fatal(err)
	}
	s.until("the client hears of the decision", func() bool { return s.status(a.EscalationID) == "denied" })
	history := temporal.Client().GetWorkflowHistory(t.Context(), a.EscalationID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		said := protojson.Format(event)
		for _, text := range []string{question, a.Answer, "think-"} {
			if strings.Contains(said, text) || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte(text))[:8]) {
				t.Errorf("readable in the history: %s", said)
			}
		}
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	verified(t, dir)
	decided := records(t, dir, "decided")
	if len(decided) == 0 || decided[0]["id"] != a.RequestID || decided[0]["decision"] != contract.Deny {
		t.Errorf("%v", decided)
	}
}

// While the log's disk is full nothing is answered, and the server says that it is not ready; with room again it goes on.
func TestFullDisk(t *testing.T) {
	dir := home(t)
	mountSmallDisk(t, filepath.Join(dir, "audit"))
	s := start(t, dir)
	filler := filepath.Join(dir, "audit", "filler")
	for size := 1 << 20; size > 0; size /= 2 { // to the last byte
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		_ = f.Close()
	}
	s.until("an answer is refused", func() bool {
		_, status, err := s.think(question)
		return err == nil && status == http.StatusServiceUnavailable
	})
	status, body, err := s.do(http.MethodGet, "/readyz", nil)
	if status != http.StatusServiceUnavailable || !strings.Contains(string(body), "audit_unavailable") {
		t.Errorf("readyz while the disk is full: %d, %s, %v", status, body, err)
	}
	if status, _, err := s.do(http.MethodGet, "/healthz", nil); status != http.StatusOK {
		t.Errorf("healthz while the disk is full: %d, %v", status, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.until("it answers again", func() bool { _, status, _ := s.think(question); return status == http.StatusOK })
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("only after %v", took)
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	verified(t, dir)
	if len(records(t, dir, "resumed")) == 0 {
		t.Error("the log says nothing of it")
	}
}
