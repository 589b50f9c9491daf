package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"so8t/disk"
)

// logOptions returns options for a log of its own, with keys.
func logOptions(t testing.TB) Options {
	t.Helper()
	dir := t.TempDir()
	keys, err := LoadKeys(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: filepath.Join(dir, "log"), Keys: keys}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func anAnswer(n int) Answer {
	return Answer{ID: fmt.Sprintf("req_%06d", n), Key: "team-a", User: fmt.Sprintf("user-%d", n%7), Label: "ALLOW", Written: "ALLOW",
		Confidence: 0.98, End: "open", Model: "sha256:" + strings.Repeat("ab", 32), Reasoning: []byte("<think-task>いちごの数を数える</think-task>"),
		Prompt: []byte("いちごはいくつありますか")}
}

func answerOnce(t testing.TB, l *Log, n int) string {
	t.Helper()
	hash, err := l.Answer(context.Background(), anAnswer(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Done(context.Background(), Done{ID: anAnswer(n).ID, FinishReason: "stop", End: "closed", PromptTokens: 31, CompletionTokens: 88}); err != nil {
		t.Fatal(err)
	}
	return hash
}

func wantWhole(t testing.TB, o Options) Report {
	t.Helper()
	r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()})
	if r.Outcome != Whole {
		t.Fatalf("%v: %s: %s", r.Outcome, r.Where, r.Why)
	}
	return r
}

func allOf(t testing.TB, o Options) string {
	t.Helper()
	numbers, err := segments(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, n := range numbers {
		text, err := os.ReadFile(filepath.Join(o.Dir, segmentName(n)))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestWhatALogHolds(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	first, second := answerOnce(t, l, 1), answerOnce(t, l, 2)
	at, err := l.Decided(t.Context(), Decided{ID: "req_000002", Escalation: "escalation-req_000002", Decision: "allow", By: "person", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Aborted(t.Context(), Aborted{ID: "req_000003", Key: "team-a", User: "user-3", Model: "sha256:ab", FinishReason: "cancelled",
		PromptTokens: 31, Prompt: anAnswer(3).Prompt}); err != nil {
		t.Fatal(err)
	}
	if err := l.Event(t.Context(), Event{"promotion", map[string]string{"to": "sha256:cd", "from": "sha256:ab"}}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	text := allOf(t, o)
	var kinds []string
	for i, one := range strings.Split(strings.TrimSpace(text), "\n") {
		r, err := parse([]byte(one))
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, string(r.kind))
		if uint64(i+1) == at.Seq && string(r.kind) != "decided" {
			t.Errorf("the decision is said to be record %d: %s", at.Seq, one)
		}
	}
	if got, want := strings.Join(kinds, " "), "start answer done answer done decided aborted promotion stop"; got != want {
		t.Errorf("the log holds %s, want %s", got, want)
	}
	if first == second || !strings.Contains(text, `"reasoning":"`+first+`"`) {
		t.Errorf("equal thinkings are %s and %s", first, second)
	}
	for _, secret := range []string{"いちご", "user-1", "user-2", "user-3"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	r := wantWhole(t, o)
	if r.Records != 9 || r.Answers != 2 || r.Aborted != 1 || r.Unclosed != 0 || r.Unsigned != 0 ||
		r.Checkpoints != 2 || fmt.Sprint(r.KeyIDs) != "[k1]" || len(r.Models) != 2 {
		t.Errorf("%+v", r)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "000001.jsonl": 0o600, notesName: 0o600} {
		if info, err := os.Stat(filepath.Join(o.Dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
	if _, err := l.Answer(t.Context(), anAnswer(3)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a closed log answers %v", err)
	}
}

// A second process is told who has the folder; the same process too.
func TestOneWriter(t *testing.T) {
	o := logOptions(t)
	l := mustOpen(t, o)
	var held *disk.HeldError
	if _, err := Open(o); !errors.As(err, &held) || held.Holder.PID != os.Getpid() {
		t.Errorf("opened twice: %v", err)
	}
	mustClose(t, l)
	mustClose(t, mustOpen(t, o))
	if r := wantWhole(t, o); r.Records != 4 {
		t.Errorf("%d records", r.Records)
	}
}

func TestRotation(t *testing.T) {
	o := logOptions(t)
	o.SegmentBytes = 4000
	o.CheckpointRecords = 7
	l := mustOpen(t, o)
	for n := range 60 {
		answerOnce(t, l, n)
	}
	mustClose(t, l)
	numbers, err := segments(o.Dir)
	if err != nil || len(numbers) < 8 {
		t.Fatalf("segments %v, %v", numbers, err)
	}
	whole := wantWhole(t, o)
	if whole.Segments != len(numbers) || whole.Answers != 60 {
		t.Errorf("%+v", whole)
	}
	for _, n := range numbers[:3] { // old ones are removed
		if err := os.Remove(filepath.Join(o.Dir, segmentName(n))); err != nil {
			t.Fatal(err)
		}
	}
	if r := wantWhole(t, o); r.StartsBehind == 0 || r.Records+r.StartsBehind != whole.Records {
		t.Errorf("%+v", r)
	}
	mustClose(t, mustOpen(t, o))
	for _, n := range numbers[3 : len(numbers)-1] {
		if err := os.Remove(filepath.Join(o.Dir, segmentName(n))); err != nil {
			t.Fatal(err)
		}
	}
	wantWhole(t, o)
	mustClose(t, mustOpen(t, o)) // with the newest alone
	wantWhole(t, o)
}
