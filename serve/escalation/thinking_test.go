package escalation

import (
	"path/filepath"
	"testing"

	"so8t/contract"
	"so8t/serve/guard"
	"so8t/serve/servetest"
	"so8t/tokenizer"
)

// An escalated answer, from the model to the person: of the thinking, of earlier turns and of the answer itself, nothing
// reaches the outbox or the server.
func TestNoThinkingReachesTheServer(t *testing.T) {
	t.Parallel() // most of its time is waiting
	server := startServer(t, "")
	dir := t.TempDir()
	log, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	o := options(dir).at(server.FrontendHostPort())
	o.Recorder, o.User = log, log.User
	d := newDesk(t, o)
	const system, earlier, final = "SYSTEM-4c1d", "EARLIER-9b2e", "FINAL-5a77"
	model := &servetest.Model{Play: func(string) servetest.Output { return servetest.Characters(servetest.Answer("ESCALATION", final)) }}
	g := guard.New(servetest.Serve(model), log, d, guard.Options{MaxNewTokens: 1 << 16, MinConfidence: 0.5, Refusal: "model", Fallback: "x"})
	var sink servetest.Sink
	result, err := g.Answer(t.Context(), guard.Request{ID: "req_think", Key: "team-a", User: askedBy, Messages: []tokenizer.Message{
		{Role: "system", Content: system}, {Role: "user", Content: earlier}, {Role: "assistant", Content: earlier}, {Role: "user", Content: secret},
	}}, &sink)
	if err != nil {
		t.Fatal(err)
	}
	if result.Label != "ESCALATION" || !result.Escalated || result.EscalationID != contract.EscalationID("req_think") {
		t.Fatalf("%+v", result.Verdict)
	}
	queued := files(t, filepath.Join(dir, "outbox"))

	defer d.runFor(t)()
	id := result.EscalationID
	d.until(t, id, Pending)
	waits(t, server.Client(), id)
	if err := signal(t.Context(), server.Client(), id, `{"decision":"allow"}`); err != nil {
		t.Fatal(err)
	}
	d.until(t, id, Allowed)
	all := append(history(t, server.Client(), id), queued...)
	for _, text := range []string{servetest.Canary, system, earlier, final, askedBy} {
		if holds(all, text) {
			t.Errorf("outbox or server hold %s", text)
		}
	}
	for _, text := range []string{secret, log.User("team-a", askedBy)} {
		if !holds(all, text) {
			t.Errorf("neither outbox nor server hold %s, which was shared", text)
		}
	}
}
