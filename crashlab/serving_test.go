package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"so8t/crashlab/powerfs"
	"so8t/serve/audit"
)

// What a client has seen of an answer when the connection breaks counts as soon as text or a hash is there.
func TestSaw(t *testing.T) {
	const think = `{"answer":"はい","safety_label":"ALLOW","internal_reasoning_hash":"hmac:k1:ab","model":"sha256:cd","request_id":"req_abc234"}`
	const role = `data: {"id":"req_xyz","model":"so8t","choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	const piece = `data: {"id":"req_xyz","model":"so8t","choices":[{"delta":{"content":"は"},"finish_reason":null}]}` + "\n\n"
	const last = `data: {"id":"req_xyz","choices":[{"delta":{},"finish_reason":"stop"}],"so8t":{"internal_reasoning_hash":"hmac:k1:ef"}}` + "\n\n"
	for _, c := range []struct{ got, id, hash string }{
		{think, "req_abc234", "hmac:k1:ab"},
		{"", "", ""},
		{`{"error":{"message":"…"}}`, "", ""},
		{role, "", ""},
		{role + piece, "req_xyz", ""},
		{role + piece + last, "req_xyz", "hmac:k1:ef"},
		{role + last, "req_xyz", "hmac:k1:ef"}, // an empty answer
	} {
		s := &clients{seen: map[string]string{}}
		s.saw([]byte(c.got))
		if hash, ok := s.seen[c.id]; ok != (c.id != "") || hash != c.hash {
			t.Errorf("of %s: %v", c.got, s.seen)
		}
	}
}

// The laboratory notices an answer without its record, one with another hash, and a log that is not whole.
func TestServingVerifies(t *testing.T) {
	dir := t.TempDir()
	s := &serving{log: filepath.Join(dir, "log"), keys: filepath.Join(dir, "keys"), rng: seeded(1)}
	keys, err := audit.LoadKeys(s.keys)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Options{Dir: s.log, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := l.Answer(t.Context(), audit.Answer{ID: "req_a", Label: "ALLOW", Reasoning: []byte("…")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seen map[string]string
		want string
	}{
		{map[string]string{}, ""},
		{map[string]string{"req_a": hash}, ""},
		{map[string]string{"req_a": ""}, ""},
		{map[string]string{"req_a": "hmac:k1:00"}, "left with the hash hmac:k1:00"},
		{map[string]string{"req_a": hash, "req_b": ""}, "req_b left and has no record"},
	} {
		if err := s.verify(c.seen); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
	if err := s.tear(); err != nil {
		t.Fatal(err)
	}
	if torn, err := s.torn(); !torn || err != nil {
		t.Errorf("torn: %v, %v", torn, err)
	}
	if err := s.verify(nil); err == nil {
		t.Error("a log that is cut behind a checkpoint verified")
	}
}

func TestTally(t *testing.T) {
	var out bytes.Buffer
	y := newTally(&out)
	y.happened("kill -9", 3, false, 200*time.Millisecond)
	y.happened("kill -9", 4, true, 400*time.Millisecond)
	y.happened("at audit.synced", 0, false, time.Second)
	y.table("while serving")
	const want = `
    while serving  count  answers seen  log torn  ready after, worst  median
  at audit.synced      1             0         0              1.00 s  1.00 s
          kill -9      2             7         1              0.40 s  0.30 s
              all      3             7         1              1.00 s  0.40 s
`
	if got := out.String(); got != want[1:] || y.total() != 3 {
		t.Errorf("got\n%swant%s", got, want)
	}
}

func TestDrawServingCut(t *testing.T) {
	rng, kinds := seeded(1), map[powerfs.Kind]bool{}
	for range 1000 {
		n, kind := drawServingCut(rng, false)
		kinds[kind] = true
		if at, which := drawServingCut(rng, true); n < 1 || n > 40 || at < 1 || at > 8 || which != 0 {
			t.Fatalf("power fails at operation %d, at %d of a start", n, at)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("kinds %v", kinds)
	}
}
