package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"so8t/serve/audit"
)

const root = "../.." // of the repository

// binary is the worker, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "so8t-serve")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "worker")
		build := exec.Command("go", "build", "-o", binary, "so8t/worker")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// output is what a process writes, readable while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// server is a running `worker serve`.
type server struct {
	t              *testing.T
	command        *exec.Cmd
	stdout, stderr output
	url, metrics   string
	ended          chan struct{}
	err            error // of Wait
}

// home is a folder for a server's logs and keys, in which it runs.
func home(t *testing.T) string {
	t.Helper()
	return t.TempDir()
}

func demoBase(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "demo", "base"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func workerCommand(t *testing.T, dir string, arguments ...string) *exec.Cmd {
	t.Helper()
	native, err := filepath.Abs(filepath.Join(root, "native", "build"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, arguments...)
	c.Dir = dir
	if c.Env = os.Environ(); os.Getenv("SO8T_NATIVE_DIR") == "" {
		c.Env = append(c.Env, "SO8T_NATIVE_DIR="+native)
	}
	return c
}

// begin starts a server in dir on free ports. It need not be ready.
func begin(t *testing.T, dir string, arguments ...string) *server {
	t.Helper()
	arguments = append([]string{"serve", "--set=serve.address=127.0.0.1:0", "--set=serve.metrics_address=127.0.0.1:0", "--set=serve.device=cpu",
		"--set=serve.max_new_tokens=96"}, arguments...)
	s := &server{t: t, command: workerCommand(t, dir, arguments...), ended: make(chan struct{})}
	s.command.Stdout, s.command.Stderr = &s.stdout, &s.stderr
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.command.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.command.Process.Kill()
		<-s.ended
		if t.Failed() {
			t.Logf("stderr without requests:\n%s", s.said())
		}
	})
	return s
}

var listening = regexp.MustCompile(`msg=listening url=(\S+) metrics=(\S+)`)

// start returns when the server is ready.
func start(t *testing.T, dir string, arguments ...string) *server {
	t.Helper()
	s := begin(t, dir, append([]string{"--model", demoBase(t)}, arguments...)...)
	s.until("ready", func() bool {
		m := listening.FindStringSubmatch(s.stderr.String())
		if m == nil {
			return false
		}
		s.url, s.metrics = m[1], m[2]
		status, _, err := s.do(http.MethodGet, "/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	return s
}

func (s *server) until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.ended:
			s.t.Fatalf("ended (%v) before: %s\n%s", s.err, what, s.said())
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within a minute: %s\n%s", what, s.said())
		}
	}
}

// said is the log without the lines of single requests.
func (s *server) said() string {
	var b strings.Builder
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.Contains(line, "msg=request ") || strings.Contains(line, "level=ERROR") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// stop sends the signal and waits for the end.
func (s *server) stop(signal os.Signal) error {
	s.t.Helper()
	_ = s.command.Process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(60 * time.Second):
		s.t.Fatal("does not end")
	}
	return s.err
}

// asking has a connection for each request: a request on a kept one that the server just closed would be nobody's loss.
var asking = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 60 * time.Second}

func (s *server) do(method, path string, body any, headers ...string) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequest(method, s.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := asking.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	return answer.StatusCode, got, err
}

// thought is an answer of /think.
type thought struct {
	RequestID     string  `json:"request_id"`
	Answer        string  `json:"answer"`
	Label         string  `json:"safety_label"`
	Confidence    float64 `json:"safety_conf"`
	Escalated     bool    `json:"escalated"`
	EscalationID  string  `json:"escalation_id"`
	ReasoningHash string  `json:"internal_reasoning_hash"`
	Model         string  `json:"model"`
}

func (s *server) think(query string, headers ...string) (thought, int, error) {
	status, body, err := s.do(http.MethodPost, "/think", map[string]any{"user_id": "u1", "query": query}, headers...)
	var a thought
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(body, &a)
	}
	return a, status, err
}

// verified is the log of a server that has ended, whole.
func verified(t *testing.T, dir string) audit.Report {
	t.Helper()
	keys, err := audit.ReadKeys(filepath.Join(dir, "audit", "keys"))
	if err != nil {
		t.Fatal(err)
	}
	r := audit.Verify(filepath.Join(dir, "audit", "log"), audit.VerifyOptions{Keys: keys.Public()})
	if r.Outcome != audit.Whole {
		t.Fatalf("the audit log is %s: %+v", r.Outcome, r)
	}
	return r
}

// records are the lines of the log of one kind.
func records(t *testing.T, dir, kind string) (found []map[string]any) {
	t.Helper()
	segments, _ := filepath.Glob(filepath.Join(dir, "audit", "log", "*.jsonl"))
	for _, path := range segments {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasSuffix(line, "\n") { // being written
				continue
			}
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%s: %v: %s", path, err, line)
			}
			if record["kind"] == kind {
				found = append(found, record)
			}
		}
	}
	return found
}

// mountSmallDisk makes a folder of its own file system, of one MiB.
func mountSmallDisk(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", path).CombinedOutput(); err != nil {
		t.Skipf("a small disk needs the right to mount one: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", path).Run() })
}
