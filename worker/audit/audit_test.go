package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"so8t/serve/audit"
)

const thinking = "<think-task>製品名を答える</think-task>"

// newLog writes a log of one answer, and returns its folders and the hash of its thinking.
func newLog(t *testing.T) (dir, keys, hash string) {
	t.Helper()
	root := t.TempDir()
	dir, keys = filepath.Join(root, "log"), filepath.Join(root, "keys")
	l := open(t, dir, keys)
	hash, err := l.Answer(t.Context(), audit.Answer{ID: "req_a", Key: "team-a", User: "alice", Label: "ALLOW", Confidence: 1, End: "open",
		Model: "sha256:ab", Reasoning: []byte(thinking)})
	if err == nil {
		err = l.Done(t.Context(), audit.Done{ID: "req_a", FinishReason: "stop", End: "closed"})
	}
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, keys, hash
}

func open(t *testing.T, dir, keys string) *audit.Log {
	t.Helper()
	k, err := audit.LoadKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Options{Dir: dir, Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run runs a command line below worker audit with that standard input, and returns what it prints.
func run(t *testing.T, stdin string, line ...string) (printed string, err error) {
	t.Helper()
	var c Command
	parser, err := kong.New(&c, kong.Exit(func(int) { t.Fatal("the parser ends the program") }))
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	command.BindTo(t.Context(), (*context.Context)(nil))
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	formerIn, formerOut := os.Stdin, os.Stdout
	os.Stdin, os.Stdout = file, w
	said := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		said <- string(text)
	}()
	err = command.Run()
	os.Stdin, os.Stdout = formerIn, formerOut
	w.Close()
	file.Close()
	return <-said, err
}

func exitStatus(err error) int {
	var status interface{ ExitStatus() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.ExitStatus()
	}
	return -1
}

// change rewrites a file of the log.
func change(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, how(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	dir, keys, _ := newLog(t)
	kept, err := run(t, "", "head", "--dir", dir)
	if err != nil || !strings.HasPrefix(kept, "so8t\n4\n") {
		t.Fatalf("%q, %v", kept, err)
	}
	since := filepath.Join(t.TempDir(), "kept.note")
	if err := os.WriteFile(since, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := run(t, "", "keys", "list", "--keys", keys)
	public := list[strings.Index(list, "so8t-audit+"):]
	if err != nil || strings.Contains(list, "PRIVATE") {
		t.Fatalf("%s, %v", list, err)
	}
	public = strings.TrimSpace(public)
	verify := func(want int, args ...string) string {
		t.Helper()
		said, err := run(t, "", append([]string{"verify", "--dir", dir}, args...)...)
		if got := exitStatus(err); got != want {
			t.Errorf("verify %v ends with %d: %v\n%s", args, got, err, said)
		}
		if err != nil {
			said += err.Error()
		}
		return said
	}
	if said := verify(0, "--keys", keys); !strings.Contains(said, "4, the newest is 4; segments: 1") || !strings.Contains(said, "signatures verified") {
		t.Error(said)
	}
	verify(0, "--key", public, "--since", since)
	verify(3, "--key", "so8t-audit+00000000+AAAA")
	if said := verify(0, "--keys", filepath.Join(dir, "none")); !strings.Contains(said, "NOT verified") {
		t.Error(said)
	}
	var report audit.Report
	if err := json.Unmarshal([]byte(verify(0, "--json", "--keys", keys)), &report); err != nil || report.Answers != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	log := filepath.Join(dir, "000001.jsonl")
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	change(t, log, func(text []byte) []byte { return bytes.Replace(text, []byte(`"ALLOW"`), []byte(`"DENY!"`), 1) })
	if said := verify(1, "--keys", keys); !strings.Contains(said, "000001.jsonl:2") {
		t.Error(said)
	}
	change(t, log, func([]byte) []byte { return whole[:len(whole)-1] })
	if said := verify(2, "--keys", keys); !strings.Contains(said, "behind checkpoint 1") {
		t.Error(said)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	verify(2, "--keys", keys)
	dir = t.TempDir()
	verify(3, "--keys", keys)
}

func TestMatch(t *testing.T) {
	dir, keys, hash := newLog(t)
	for _, c := range []struct {
		text string
		want bool
		args []string
	}{
		{thinking, true, nil},
		{thinking + "\n", true, nil},
		{thinking + " ", false, nil},
		{thinking, true, []string{"--hash", hash}},
		{thinking, false, []string{"--hash", strings.Replace(hash, "k1:", "k7:", 1)}},
		{thinking, false, []string{"--hash", "nothing"}},
	} {
		said, err := run(t, c.text, append([]string{"match", "--dir", dir, "--keys", keys, "--id", "req_a"}, c.args...)...)
		if (err == nil) != c.want || strings.Contains(said, thinking) {
			t.Errorf("%q %v: %q, %v", c.text, c.args, said, err)
		}
	}
	if _, err := run(t, thinking, "match", "--dir", dir, "--keys", keys, "--id", "req_b"); err == nil {
		t.Error("an answer that is not there matched")
	}
}

// An erasure is carried out by whoever has the log: the command, or the server that runs.
func TestErase(t *testing.T) {
	dir, keys, _ := newLog(t)
	erase := []string{"erase", "--dir", dir, "--keys", keys, "--user", "alice", "--key-name", "team-a"}
	if said, err := run(t, "", erase...); err != nil || !strings.HasPrefix(said, "erased") {
		t.Fatalf("%s, %v", said, err)
	}
	l := open(t, dir, keys)
	if _, err := run(t, "", erase...); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "000001.jsonl"))
	if n := bytes.Count(text, []byte(`"kind":"erased"`)); err != nil || n != 2 {
		t.Errorf("%d records of two erasures\n%s", n, text)
	}
	if _, err := run(t, "", "verify", "--dir", dir, "--keys", keys); err != nil {
		t.Error(err)
	}
	if _, err := run(t, "", "erase", "--dir", filepath.Join(dir, "none"), "--keys", keys, "--user", "alice"); err == nil {
		t.Error("a log that is not there was begun")
	}
}

func TestRotateKeys(t *testing.T) {
	dir, keys, _ := newLog(t)
	for _, c := range [][]string{{"k2"}, {"signing-2", "--signing"}} {
		said, err := run(t, "", append([]string{"keys", "rotate", "--keys", keys}, c[1:]...)...)
		if err != nil || !strings.HasPrefix(said, "added "+c[0]+" to ") {
			t.Errorf("%s, %v", said, err)
		}
	}
	if err := open(t, dir, keys).Close(); err != nil {
		t.Fatal(err)
	}
	said, err := run(t, "", "keys", "list", "--keys", keys)
	if err != nil || strings.Count(said, "hashes ") != 2 || strings.Count(said, "verifies") != 2 {
		t.Errorf("%s, %v", said, err)
	}
	if said, err := run(t, "", "verify", "--dir", dir, "--keys", keys); err != nil {
		t.Errorf("%s, %v", said, err)
	}
}
