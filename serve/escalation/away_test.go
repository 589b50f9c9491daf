package escalation

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"so8t/contract"
	"so8t/serve/audit"
)

// TestMain makes the test binary a serving process where the environment asks for one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SO8T_TEST_DESK"); dir != "" {
		serveUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// openLog opens the audit log in dir.
func openLog(dir string) (*audit.Log, error) {
	keys, err := audit.LoadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	return audit.Open(audit.Options{Dir: filepath.Join(dir, "log"), Keys: keys})
}

// killer is an audit log whose process dies between the record and its answer.
type killer struct{ *audit.Log }

func (k killer) Decided(ctx context.Context, d audit.Decided) (audit.Position, error) {
	if _, err := k.Log.Decided(ctx, d); err != nil {
		return audit.Position{}, err
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {}
}

// serveUntilKilled runs a desk and escalates the request that the environment names.
func serveUntilKilled(dir string) {
	o := options(dir).at(os.Getenv("SO8T_TEST_SERVER"))
	log, err := openLog(dir)
	if err != nil {
		panic(err)
	}
	o.Recorder = log
	if os.Getenv("SO8T_TEST_KILL") == "recording" {
		o.Recorder = killer{log}
	}
	d, err := New(o)
	if err != nil {
		panic(err)
	}
	if request := os.Getenv("SO8T_TEST_REQUEST"); request != "" {
		id, err := d.Escalate(context.Background(), theCase(request))
		if err != nil {
			panic(err)
		}
		fmt.Println(id)
	}
	d.Run(context.Background())
}

// process is such a process; it ends with the test.
func process(t *testing.T, dir, address string, env ...string) *exec.Cmd {
	t.Helper()
	p := exec.Command(os.Args[0])
	p.Env = append(append(os.Environ(), "SO8T_TEST_DESK="+dir, "SO8T_TEST_SERVER="+address), env...)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); { // so that it never waits for a reader
		}
	}()
	return p
}

// dies expects the process to be killed by itself.
func dies(t *testing.T, p *exec.Cmd) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Wait()
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("the process was never killed")
	}
	if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended by itself: %v", p.ProcessState)
	}
}

// freeAddress is one at which nobody listens. Its port lies below those that the kernel gives to outgoing connections: a
// client that dials its server while that is away could be given the server's own.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port below 32000")
	return ""
}

// The server is away when the request comes: the client hears queued. It comes, goes while a person is waited for, and comes
// again: nothing is lost.
func TestServerAway(t *testing.T) {
	t.Parallel() // most of its time is waiting
	address, database := freeAddress(t), filepath.Join(t.TempDir(), "temporal.db")
	o := options(t.TempDir()).at(address)
	d := newDesk(t, o)
	d.runFor(t)
	first := d.mustEscalate(t, theCase("req_first"))
	d.until(t, first, Queued)

	server := startServer(t, address, "--db-filename", database)
	second := d.mustEscalate(t, theCase("req_second"))
	d.until(t, first, Pending)
	d.until(t, second, Pending)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}

	third := d.mustEscalate(t, theCase("req_third"))
	began := time.Now()
	if _, err := d.Status(t.Context(), "team-a", first); err == nil || time.Since(began) > callTimeout+time.Second {
		t.Errorf("the server is away: %v after %s", err, time.Since(began))
	}
	d.until(t, third, Queued)
	server = startServer(t, address, "--db-filename", database)
	for _, id := range []string{first, second, third} {
		d.until(t, id, Pending)
		waits(t, server.Client(), id)
		if err := signal(t.Context(), server.Client(), id, `{"decision":"allow"}`); err != nil {
			t.Fatal(err)
		}
		d.until(t, id, Allowed)
	}
	if lines := ledger(o.AuditDir).lines(); len(lines) != 3 {
		t.Errorf("recorded %q", lines)
	}
}

// The serving process is killed at each of the places where a case could be lost or asked twice. Its successor asks once, and
// records the decision once.
func TestProcessKilled(t *testing.T) {
	t.Parallel() // most of its time is waiting
	server := startServer(t, "")
	for _, point := range []string{"escalation.queued", "escalation.started", "waiting", "recording"} {
		t.Run(point, func(t *testing.T) {
			dir := t.TempDir()
			request := "req_" + strings.ReplaceAll(point, ".", "_")
			id := contract.EscalationID(request)
			p := process(t, dir, server.FrontendHostPort(), "SO8T_TEST_REQUEST="+request, "SO8T_CRASH_AT="+point, "SO8T_TEST_KILL="+point)
			switch point {
			case "waiting", "recording":
				waits(t, server.Client(), id)
			}
			switch point {
			case "waiting":
				if err := p.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			case "recording":
				if err := signal(t.Context(), server.Client(), id, `{"decision":"deny","note":"no"}`); err != nil {
					t.Fatal(err)
				}
			}
			dies(t, p)
			o := options(dir).at(server.FrontendHostPort())
			log, err := openLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			o.Recorder = log
			successor := newDesk(t, o)
			left, err := successor.outbox.ids()
			if inOutbox := strings.HasPrefix(point, "escalation."); err != nil || (len(left) == 1) != inOutbox {
				t.Errorf("in the outbox after the kill: %v, %v", left, err)
			}
			defer successor.runFor(t)()
			if point != "recording" {
				waits(t, server.Client(), id)
				if err := signal(t.Context(), server.Client(), id, `{"decision":"deny","note":"no"}`); err != nil {
					t.Fatal(err)
				}
			}
			if s := successor.until(t, id, Denied); s.Note != "no" {
				t.Errorf("%+v", s)
			}
			text, err := os.ReadFile(filepath.Join(o.AuditDir, "000001.jsonl"))
			if n := strings.Count(string(text), `"kind":"decided"`); err != nil || n != 1 {
				t.Errorf("the decision was recorded %d times: %v", n, err)
			}
			if left, err := successor.outbox.ids(); err != nil || len(left) != 0 {
				t.Errorf("left in the outbox: %v, %v", left, err)
			}
		})
	}
}

// A process with another codec key, or with none, does not end the workflows that it cannot read: they wait for the right one.
func TestWrongKey(t *testing.T) {
	t.Parallel() // most of its time is waiting
	server := startServer(t, "")
	dir := t.TempDir()
	o := options(dir).at(server.FrontendHostPort())
	o.Codec = newCodec(t, keyOf(1))
	d := newDesk(t, o)
	stop := d.runFor(t)
	id := d.mustEscalate(t, theCase("req_key"))
	d.until(t, id, Pending)
	stop()
	if err := signal(t.Context(), server.Client(), id, `{"decision":"allow"}`); err != nil {
		t.Fatal(err)
	}
	for name, codec := range map[string]*Codec{"another": newCodec(t, keyOf(2)), "none": nil} {
		wrong := o
		wrong.Codec = codec
		other := newDesk(t, wrong)
		stop := other.runFor(t)
		time.Sleep(3 * time.Second) // it takes the task, and fails it
		if _, err := other.Status(t.Context(), "team-a", id); err == nil || !strings.Contains(err.Error(), "encrypted with another key") {
			t.Errorf("%s: %v", name, err)
		}
		stop()
	}
	right := o
	right.Codec = newCodec(t, keyOf(3)+","+keyOf(1))
	last := newDesk(t, right)
	defer last.runFor(t)()
	last.until(t, id, Allowed)
	ledger(o.AuditDir).recorded(t, `"decision":"allow"`)
}
