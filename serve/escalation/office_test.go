package escalation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"google.golang.org/protobuf/encoding/protojson"

	"so8t/contract"
	"so8t/serve/audit"
)

// ledger is a Recorder that writes to a folder as the audit log does, without its chain.
type ledger string

var ledgerLock sync.Mutex

func (l ledger) Decided(_ context.Context, d audit.Decided) (audit.Position, error) {
	ledgerLock.Lock()
	defer ledgerLock.Unlock()
	if err := os.MkdirAll(string(l), 0o755); err != nil {
		return audit.Position{}, err
	}
	seq := uint64(len(l.lines()) + 1)
	line, err := json.Marshal(map[string]any{"seq": seq, "kind": "decided", "id": d.ID, "escalation": d.Escalation, "decision": d.Decision,
		"by": d.By, "note": d.NoteHash, "at": d.At.UTC().Format("2006-01-02T15:04:05.000000Z")})
	if err != nil {
		return audit.Position{}, err
	}
	f, err := os.OpenFile(filepath.Join(string(l), "000001.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return audit.Position{}, err
	}
	defer f.Close()
	_, err = f.Write(append(line, '\n'))
	return audit.Position{Seq: seq, Hash: fmt.Sprint("line ", seq)}, err
}

func (l ledger) lines() []string {
	text, _ := os.ReadFile(filepath.Join(string(l), "000001.jsonl"))
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[:strings.Count(string(text), "\n")]
}

// recorded expects exactly one record, with that text in it.
func (l ledger) recorded(t *testing.T, text string) {
	t.Helper()
	if lines := l.lines(); len(lines) != 1 || !strings.Contains(lines[0], text) {
		t.Errorf("recorded %q, want one record with %s", lines, text)
	}
}

// startServer starts the development server, at an address of the test's choice unless that is empty.
func startServer(t *testing.T, address string, extra ...string) *testsuite.DevServer {
	t.Helper()
	path, err := filepath.Abs("../../bin/temporal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	server, err := testsuite.StartDevServer(context.Background(), testsuite.DevServerOptions{ExistingPath: path, LogLevel: "error", ExtraArgs: extra,
		ClientOptions: &client.Options{HostPort: address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

// run runs a desk until the returned function or the end of the test.
func (d *Desk) runFor(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// at makes a desk's options name a server.
func (o Options) at(address string) Options {
	o.Temporal = client.Options{HostPort: address, Namespace: client.DefaultNamespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	return o
}

// until waits for a state of an escalation of team-a.
func (d *Desk) until(t *testing.T, id, state string) Status {
	t.Helper()
	var s Status
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s, err = d.Status(t.Context(), "team-a", id); err == nil && s.Status == state {
			return s
		}
	}
	t.Fatalf("%s is %+v, %v, never %s", id, s, err, state)
	return s
}

// waits waits until the workflow is there to be asked, and no decision has been made.
func waits(t *testing.T, c client.Client, id string) {
	t.Helper()
	var last error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		v, err := c.QueryWorkflow(t.Context(), id, "", contract.QueryStatus)
		var s contract.EscalationStatus
		if last = err; err == nil && v.Get(&s) == nil && s.Decided == nil {
			return
		}
	}
	t.Fatalf("%s does not wait: %v", id, last)
}

// history returns the raw history of an escalation and what the server tells beside it, as JSON.
func history(t *testing.T, c client.Client, id string) (all []byte) {
	t.Helper()
	events := c.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	described, err := c.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, text...)
}

// forms of a text in JSON: as it is, and the base64 of it at each of three alignments, without what depends on its neighbours.
func forms(text string) []string {
	all := []string{text}
	for skip := range 3 {
		part := text[(3-skip)%3:]
		all = append(all, base64.StdEncoding.EncodeToString([]byte(part[:len(part)/3*3])))
	}
	return all
}
