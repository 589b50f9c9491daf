package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"so8t/disk"
)

// The test's own program, told so by its environment, writes answers until it is killed, and prints each that is on disk.
const (
	childDir    = "SO8T_AUDIT_CHILD"
	childAnswer = "answered "
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(dir string) error {
	keys, err := LoadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	l, err := Open(Options{Dir: filepath.Join(dir, "log"), Keys: keys, SegmentBytes: 20_000, CheckpointRecords: 50})
	if err != nil {
		return err
	}
	var out sync.Mutex
	var wait sync.WaitGroup
	for w := range 8 {
		wait.Go(func() {
			for n := 0; ; n++ {
				a := anAnswer(n)
				a.ID = fmt.Sprintf("req_%d_%d_%d", os.Getpid(), w, n)
				hash, err := l.Answer(context.Background(), a)
				if err != nil {
					fmt.Println(err)
					return
				}
				out.Lock()
				fmt.Println(childAnswer + a.ID + " " + hash)
				out.Unlock()
				_ = l.Done(context.Background(), Done{ID: a.ID, FinishReason: "stop", End: "closed"})
			}
		})
	}
	wait.Wait()
	return l.Close()
}

// runChild runs the child until it is killed, by its crash point or after a time, and returns what it said was on disk.
func runChild(t *testing.T, dir, point string, after time.Duration) (answered map[string]string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0]) // the end of ctx is SIGKILL
	c.Env = append(os.Environ(), childDir+"="+dir, "SO8T_CRASH_AT="+point)
	said, err := c.Output()
	answered = map[string]string{}
	for line := range strings.Lines(string(said)) {
		rest, ok := strings.CutPrefix(line, childAnswer)
		id, hash, whole := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
		if ok && whole && strings.HasSuffix(line, "\n") {
			answered[id] = hash
		}
	}
	return answered, err
}

func wasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}

// wantAnswers fails if an answer that left has no record with its hash.
func wantAnswers(t *testing.T, o Options, answered map[string]string) {
	t.Helper()
	recorded := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(allOf(t, o)))
	for lines.Scan() {
		l, err := parse(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if string(l.kind) == "answer" {
			recorded[string(l.id)] = string(l.reasoning)
		}
	}
	for id, hash := range answered {
		if recorded[id] != hash {
			t.Errorf("%s left with the hash %s, its record has %q", id, hash, recorded[id])
		}
	}
}

// Killed at each crash point, and at any moment, a log loses no record that was acknowledged, and its chain goes on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	keys, err := LoadKeys(filepath.Join(dir, "keys"))
	must(t, err)
	o := Options{Dir: filepath.Join(dir, "log"), Keys: keys}
	answered := map[string]string{}
	kill := func(point string, after time.Duration) {
		t.Helper()
		more, err := runChild(t, dir, point, after)
		if !wasKilled(err) {
			t.Fatalf("at %q: the child ended with %v: %v", point, err, more)
		}
		for id, hash := range more {
			answered[id] = hash
		}
	}
	for _, point := range disk.CrashPoints {
		if !strings.HasPrefix(point, "audit.") {
			continue
		}
		for _, passing := range []int{1, 5} {
			if point == "audit.recovered" {
				if passing > 1 {
					continue // passed once in a process
				}
				text, err := os.ReadFile(newestOf(t, o.Dir))
				must(t, err)
				must(t, os.WriteFile(newestOf(t, o.Dir), append(text, `{"v":1,"seq":`...), 0o600))
			}
			kill(fmt.Sprintf("%s:%d", point, passing), 20*time.Second)
			if r := Verify(o.Dir, VerifyOptions{Keys: keys.Public()}); r.Outcome != Whole {
				t.Fatalf("at %s:%d: %s: %s", point, passing, r.Where, r.Why)
			}
		}
	}
	for n := range 10 {
		kill("", time.Duration(60+n*23)*time.Millisecond)
		mustClose(t, mustOpen(t, o))
		wantWhole(t, o)
	}
	wantAnswers(t, o, answered)
	r := wantWhole(t, o)
	t.Logf("%d answers left, %d have records, in %d segments with %d checkpoints", len(answered), r.Answers, r.Segments, r.Checkpoints)
	if len(answered) < 100 || r.Segments < 2 {
		t.Errorf("%d answers in %d segments", len(answered), r.Segments)
	}
}

func newestOf(t *testing.T, dir string) string {
	t.Helper()
	numbers, err := segments(dir)
	if err != nil || len(numbers) == 0 {
		t.Fatal(numbers, err)
	}
	return filepath.Join(dir, segmentName(numbers[len(numbers)-1]))
}

// Another process is told who has the log.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	keys, err := LoadKeys(filepath.Join(dir, "keys"))
	must(t, err)
	l := mustOpen(t, Options{Dir: filepath.Join(dir, "log"), Keys: keys})
	defer mustClose(t, l)
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childDir+"="+dir)
	said, err := c.CombinedOutput()
	if want := fmt.Sprintf("is in use by %q (process %d", filepath.Base(os.Args[0]), os.Getpid()); err == nil || !strings.Contains(string(said), want) {
		t.Errorf("%v: %s, want %s", err, said, want)
	}
}
