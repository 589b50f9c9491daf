package escalation

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/worker"

	"so8t/contract"
	"so8t/serve/audit"
	"so8t/serve/guard"
	"so8t/workflows"
)

const (
	secret  = "秘密の質問: 解約してよいですか"
	askedBy = "user-77@example.com"
)

func theCase(requestID string) guard.Case {
	return guard.Case{RequestID: requestID, Key: "team-a", User: askedBy, Query: secret, Confidence: 0.83, Model: "sha256:00",
		Time: time.Date(2026, 11, 27, 10, 2, 3, 0, time.FixedZone("JST", 9*60*60))}
}

// options of a desk whose folders are in dir.
func options(dir string) Options {
	o := Options{
		Outbox: filepath.Join(dir, "outbox"), AuditDir: filepath.Join(dir, "log"),
		Workflows: func(r worker.WorkflowRegistry) { r.RegisterWorkflow(workflows.Escalation) },
		Recorder:  ledger(filepath.Join(dir, "log")),
		Share:     func(string) string { return ShareQuery },
		User:      func(_, user string) string { return "hmac:" + strings.Repeat("7", 8) },
		Deadline:  time.Hour, Default: contract.Deny, Log: slog.New(slog.DiscardHandler),
	}
	return o
}

func newDesk(t *testing.T, o Options) *Desk {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *Desk) mustEscalate(t *testing.T, c guard.Case) string {
	t.Helper()
	id, err := d.Escalate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A case is for this user alone, holds a pseudonym, and is known to the key that asked before any server is.
func TestQueued(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, options(dir))
	id := d.mustEscalate(t, theCase("req_a"))
	if id != "escalation-req_a" {
		t.Errorf("id %s", id)
	}
	for path, want := range map[string]fs.FileMode{"outbox": 0o700 | fs.ModeDir, "outbox/escalation-req_a.json": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	want := contract.EscalationInput{RequestID: "req_a", Key: "team-a", User: "hmac:77777777", Query: secret, Shared: true, Confidence: 0.83,
		Model: "sha256:00", AskedAt: time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC), DeadlineSeconds: 3600, Default: contract.Deny}
	if got, err := newDesk(t, options(dir)).outbox.get(id); err != nil || got != want {
		t.Errorf("after a restart: %+v, %v, want %+v", got, err, want)
	}
	if s, err := d.Status(t.Context(), "team-a", id); err != nil || s != (Status{ID: id, RequestID: "req_a", Status: Queued}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, other := range [][2]string{{"team-b", id}, {"", id}, {"team-a", "escalation-req_../outbox/escalation-req_a"},
		{"team-a", "nightly-demo"}, {"team-a", "escalation-"}, {"team-a", ""}} {
		if _, err := d.Status(t.Context(), other[0], other[1]); !errors.Is(err, ErrUnknown) {
			t.Errorf("key %q, id %q: %v", other[0], other[1], err)
		}
	}
	if _, err := d.Status(t.Context(), "team-a", "escalation-req_b"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("not in the outbox, and no server: %v", err)
	}
}

// files returns all that a folder holds, names included.
func files(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		all = append(all, path...)
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What an owner does not share is not even on this machine's disk; nor is the user, nor with a codec anything else.
func TestOutboxHoldsNoMoreThanIsShared(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"none":       func(o *Options) { o.Share = func(string) string { return ShareNone } },
		"a new word": func(o *Options) { o.Share = func(string) string { return "all" } },
		"encrypted":  func(o *Options) { o.Codec = newCodec(t, keyOf(1)) },
		"another key": func(o *Options) {
			o.Share = func(key string) string { return map[string]string{"team-b": ShareQuery}[key] }
		},
	} {
		dir := t.TempDir()
		o := options(dir)
		change(&o)
		d := newDesk(t, o)
		id := d.mustEscalate(t, theCase("req_a"))
		in, err := d.outbox.get(id)
		if err != nil || in.Shared != (name == "encrypted") || in.Shared != (in.Query == secret) {
			t.Errorf("%s: %+v, %v", name, in, err)
		}
		all := files(t, filepath.Join(dir, "outbox"))
		for _, text := range []string{secret, askedBy} {
			if holds(all, text) {
				t.Errorf("%s: the outbox holds %s", name, text)
			}
		}
	}
}

func TestLongQueryIsCut(t *testing.T) {
	d := newDesk(t, options(t.TempDir()))
	c := theCase("req_a")
	c.Query = "a" + strings.Repeat("あ", maxQuery) + "\xff"
	in, err := d.outbox.get(d.mustEscalate(t, c))
	if err != nil || !utf8.ValidString(in.Query) || !strings.HasSuffix(in.Query, "あ\n… (32767 of 98306 bytes)") || len(in.Query) > maxQuery+64 {
		t.Errorf("%d bytes, …%s, %v", len(in.Query), in.Query[len(in.Query)-40:], err)
	}
}

// A desk starts with what killed writers left, and a damaged or foreign file in the outbox does not stop it.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, options(dir))
	d.mustEscalate(t, theCase("req_a"))
	for _, name := range []string{".escalation-req_b.json.123", "escalation-req_c.json", "README"} {
		if err := os.WriteFile(filepath.Join(dir, "outbox", name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = newDesk(t, options(dir))
	if _, err := os.Stat(filepath.Join(dir, "outbox", ".escalation-req_b.json.123")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was never complete is still there: %v", err)
	}
	if ids, err := d.outbox.ids(); err != nil || strings.Join(ids, " ") != "escalation-req_a escalation-req_c" {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := d.outbox.get("escalation-req_c"); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a damaged case: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"outbox":             func(o *Options) { o.Outbox = "" },
		"future":             func(o *Options) { o.Deadline = 0 },
		"negative":           func(o *Options) { o.RemindEvery = -1 },
		"more than 500":      func(o *Options) { o.RemindEvery = time.Second },
		"want allow or deny": func(o *Options) { o.Default = "escalate" },
		"not a directory":    func(o *Options) { o.Outbox = "/dev/null/outbox" },
	} {
		o := options(t.TempDir())
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want …%s…", err, want)
		}
	}
	if _, err := newDesk(t, options(t.TempDir())).Escalate(t.Context(), theCase("../req")); err == nil {
		t.Error("a request id that names a file elsewhere was taken")
	}
}

// A case that cannot be written is refused: its answer must not say that a person will decide.
func TestOutboxFull(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(t, options(dir))
	if err := os.RemoveAll(filepath.Join(dir, "outbox")); err != nil {
		t.Fatal(err)
	}
	if id, err := d.Escalate(t.Context(), theCase("req_a")); err == nil || id != "" || strings.Contains(err.Error(), secret) {
		t.Errorf("%q, %v", id, err)
	}
}

// The hash is what an auditor computes from a note: printf 'req_a\0ok' | sha256sum.
func TestNoteHash(t *testing.T) {
	if got := NoteHash("req_a", "ok"); got != "sha256:57fba857e24e69b5fe6ce344b4856c2637af77721096664d6369f7c86d51569b" {
		t.Errorf("%s", got)
	}
	if NoteHash("req_a", "") != "" {
		t.Error("no note has a hash")
	}
}

var _ interface {
	guard.Escalator
	Status(ctx context.Context, key, id string) (Status, error)
} = (*Desk)(nil)

var _ Recorder = (*audit.Log)(nil)

// holds reports whether bytes hold a text, as it is or in base64, at any of its three alignments.
func holds(all []byte, text string) bool {
	for _, form := range forms(text) {
		if bytes.Contains(all, []byte(form)) {
			return true
		}
	}
	return false
}
