package serve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const question = "会社案内を要約してください。"

// The whole way of an answer, by both routes, and what is left of it.
func TestServes(t *testing.T) {
	dir := home(t)
	s := start(t, dir)
	a, status, err := s.think(question)
	if err != nil || status != http.StatusOK || a.Answer == "" || a.Label == "" || a.Confidence <= 0 || !strings.HasPrefix(a.ReasoningHash, "hmac:") ||
		!strings.HasPrefix(a.Model, "sha256:") {
		t.Fatalf("%d, %+v, %v", status, a, err)
	}
	chat := map[string]any{"model": "so8t", "messages": []map[string]string{{"role": "user", "content": question}}, "temperature": 0}
	status, body, err := s.do(http.MethodPost, "/v1/chat/completions", chat)
	if err != nil || status != http.StatusOK || !strings.Contains(string(body), a.Answer) || strings.Contains(string(body), "think-") {
		t.Errorf("%d, %s, %v", status, body, err)
	}
	metrics, err := http.Get(s.metrics + "/metrics")
	if err != nil || metrics.StatusCode != http.StatusOK {
		t.Errorf("metrics: %v, %v", metrics, err)
	}
	s.until("the line of a start", func() bool { return strings.Contains(s.stdout.String(), "\n") })
	if said := s.stdout.String(); !strings.Contains(said, "serving "+a.Model+" at "+s.url+", audit log at record ") {
		t.Errorf("%q", said)
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	r := verified(t, dir)
	if r.Answers != 2 || r.Unclosed != 0 || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
	for _, said := range []string{s.stdout.String(), s.stderr.String()} {
		if strings.Contains(said, question) || strings.Contains(said, a.Answer) || strings.Contains(said, "think-") {
			t.Errorf("text of a request or an answer stands in the log: %s", said)
		}
	}
	for _, path := range []string{"audit", "audit/log", "audit/keys"} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// ask has clients ask in a loop until done is closed; it returns the answers' request ids when they have ended. A client
// whose connection breaks was not accepted, or its request is missed by the comparison with the log.
func (s *server) ask(clients int, done <-chan struct{}) (wait func() []string) {
	var mu sync.Mutex
	var ids []string
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				a, status, err := s.think(question)
				switch {
				case err == nil && status == http.StatusOK && a.Answer != "":
					mu.Lock()
					ids = append(ids, a.RequestID)
					mu.Unlock()
				case err == nil && status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests:
					s.t.Errorf("status %d", status)
				}
			}
		})
	}
	return func() []string {
		running.Wait()
		return ids
	}
}

// Told to stop under load, the server loses no request that it has accepted.
func TestStopsUnderLoad(t *testing.T) {
	dir := home(t)
	s := start(t, dir)
	done := make(chan struct{})
	wait := s.ask(20, done)
	time.Sleep(time.Second)
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	close(done)
	ids := wait()
	if r := verified(t, dir); len(ids) == 0 || r.Unclosed != 0 || r.Unsigned != 0 || int(r.Answers) != len(ids) {
		t.Errorf("%d answers were heard, %+v", len(ids), r)
	}
	if ended := regexp.MustCompile(`route=/think status=(?:0|499|5\d[^3])`).FindString(s.stderr.String()); ended != "" {
		t.Errorf("a request ended unanswered: %s", ended)
	}
}

// A second signal does not wait for what is under way.
func TestSecondSignal(t *testing.T) {
	s := start(t, home(t))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST /think HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\nContent-Type: application/json\r\n\r\n{")
	time.Sleep(100 * time.Millisecond) // until it is under way
	_ = s.command.Process.Signal(syscall.SIGTERM)
	s.until("the drain", func() bool { return strings.Contains(s.stderr.String(), "msg=draining requests=1 ") })
	if status, body, err := s.do(http.MethodGet, "/readyz", nil); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "shutting_down") {
		t.Errorf("readyz while draining: %d, %s, %v", status, body, err)
	}
	began := time.Now()
	if err := s.stop(syscall.SIGTERM); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// Killed under load, the server leaves a log that holds every answer that was heard, and goes on with it.
func TestKilledUnderLoad(t *testing.T) {
	dir := home(t)
	s := start(t, dir)
	done := make(chan struct{})
	wait := s.ask(20, done)
	time.Sleep(time.Second)
	_ = s.stop(os.Kill)
	close(done)
	ids := wait()
	s = start(t, dir)
	if _, status, err := s.think(question); status != http.StatusOK || err != nil {
		t.Errorf("after the restart: %d, %v", status, err)
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	verified(t, dir)
	logged := map[any]bool{}
	for _, record := range records(t, dir, "answer") {
		logged[record["id"]] = true
	}
	for _, id := range ids {
		if !logged[id] {
			t.Errorf("%s was answered, and the log does not know", id)
		}
	}
	if len(ids) == 0 {
		t.Error("nothing was answered before the kill")
	}
}

// A second server would fork the log's chain: it is told who has it.
func TestOneServerALog(t *testing.T) {
	dir := home(t)
	first := start(t, dir)
	second := begin(t, dir, "--model", demoBase(t))
	<-second.ended
	if said := second.stderr.String(); second.err == nil || !strings.Contains(said, "is in use by") {
		t.Errorf("%v: %s", second.err, said)
	}
	if _, status, err := first.think(question); status != http.StatusOK || err != nil {
		t.Errorf("the first: %d, %v", status, err)
	}
}

// What cannot work is refused at once, in one line that names the key.
func TestRefusesToStart(t *testing.T) {
	dir := home(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tc := range map[string]struct {
		arguments []string
		says      string
	}{
		"no model":         {nil, "serve.model: is required"},
		"no such model":    {[]string{"--model", "/no/such/model"}, "/no/such/model"},
		"no such file":     {[]string{"--config", "missing.yaml"}, "missing.yaml"},
		"unknown key":      {[]string{"--config", write("a.yaml", "serve:\n  model_nam: m\n")}, "a.yaml:2: serve.model_nam: unknown key; did you mean model?"},
		"open to all":      {[]string{"--model", "m", "--address", "0.0.0.0:0"}, "serve.address: "},
		"unknown override": {[]string{"--model", "m", "--set", "serve.slot=1"}, "set: serve.slot: unknown key; did you mean slots?"},
		"no such keys":     {[]string{"--model", "m", "--set", "serve.keys_file=none.keys"}, "none.keys"},
		"a key as it is": {[]string{"--model", "m", "--set", "serve.keys_file=" + write("k", "team so8t_secretsecret\n")},
			"line 1: the digest must be 64 hex digits"},
		"no codec key": {[]string{"--model", "m", "--set", "serve.escalate=true", "--set", "serve.escalation.codec_key_env=NO_SUCH"},
			"the environment has no NO_SUCH"},
		"a certificate": {[]string{"--model", "m", "--set", "serve.tls_cert=c.pem"}, "serve.tls_cert: needs serve.tls_key"},
	} {
		t.Run(name, func(t *testing.T) {
			c := workerCommand(t, dir, append([]string{"serve", "--set=serve.metrics_address="}, tc.arguments...)...)
			if !strings.Contains(strings.Join(tc.arguments, " "), "--address") {
				c.Args = append(c.Args, "--address=127.0.0.1:0")
			}
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), tc.says) || strings.Contains(string(out), "secretsecret") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// A process that thinks dumps no core, whatever the limits that it was given.
func TestNoCoreIsDumped(t *testing.T) {
	dir := home(t)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 1 << 40, Max: 1 << 40}) // else the test proves less
	s := start(t, dir)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.command.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("%v: %s", err, limits)
	}
	a, _, err := s.think(question)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.stop(syscall.SIGABRT)
	var status syscall.WaitStatus
	if exit := new(exec.ExitError); errors.As(s.err, &exit) {
		status = exit.Sys().(syscall.WaitStatus)
	}
	if s.err == nil || status.CoreDump() {
		t.Errorf("%v, core dumped: %v", s.err, status.CoreDump())
	}
	if said := s.stderr.String(); !strings.Contains(said, "SIGABRT") || strings.Contains(said, question) || strings.Contains(said, a.Answer) {
		t.Errorf("a crash prints text:\n%s", said)
	}
	if cores, _ := filepath.Glob(filepath.Join(dir, "core*")); len(cores) > 0 {
		t.Errorf("%v", cores)
	}
}

// Keys are asked for, and read again on SIGHUP.
func TestKeysAreReadAgain(t *testing.T) {
	dir := home(t)
	file := filepath.Join(dir, "think.keys")
	newKey := func(name string) string {
		out, err := workerCommand(t, dir, "keys", "new", name, "--file", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + strings.TrimSpace(string(out))
	}
	one := newKey("one")
	s := start(t, dir, "--set", "serve.keys_file="+file)
	if _, status, err := s.think(question); status != http.StatusUnauthorized {
		t.Errorf("without a key: %d, %v", status, err)
	}
	if _, status, err := s.think(question, "Authorization", one); status != http.StatusOK {
		t.Errorf("with a key: %d, %v", status, err)
	}
	two := newKey("two")
	if _, status, err := s.think(question, "Authorization", two); status != http.StatusUnauthorized {
		t.Errorf("with a key that was not read yet: %d, %v", status, err)
	}
	_ = s.command.Process.Signal(syscall.SIGHUP)
	s.until("the key is read", func() bool { _, status, _ := s.think(question, "Authorization", two); return status == http.StatusOK })
	if err := os.WriteFile(file, []byte("broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = s.command.Process.Signal(syscall.SIGHUP)
	s.until("a broken file is refused", func() bool { return strings.Contains(s.stderr.String(), "the API keys stay as they were") })
	if _, status, err := s.think(question, "Authorization", one); status != http.StatusOK {
		t.Errorf("after a broken file: %d, %v", status, err)
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	verified(t, dir)
	if names := records(t, dir, "answer"); len(names) != 3 || names[0]["key"] != "one" || names[1]["key"] != "two" {
		t.Errorf("%v", names)
	}
}
