package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"testing"

	"so8t/policy"
)

// The demo's samples are those of the first release, in its order: runs that it began go on, and its figures stay.
func TestDemoSamples(t *testing.T) {
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, nil)
	o.Paths, o.Policy = []string{filepath.Join("..", "demo", "data", "four_class_demo.jsonl")}, p
	m := mustSplit(t, o)
	if m.Lines != 2000 || m.Bad != 0 || len(m.Removed) > 0 || m.TooLong != 0 {
		t.Errorf("%d lines, %d bad, removed %v, %d too long", m.Lines, m.Bad, m.Removed, m.TooLong)
	}
	h := sha256.New()
	eachSample(t, o, func(part string, s Sample) {
		err := json.NewEncoder(h).Encode([]any{part, s.SourceLine, s.Label, s.Domain, s.Digest, s.PromptLength, s.InputIDs, s.Labels})
		if err != nil {
			t.Fatal(err)
		}
	})
	const want = "5428e85709d30d265be1b5b1850b9a86d721097eab905488495895b3aba4bb81" // by the code that wrote format 2
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("SHA-256 of the samples %s, want %s", got, want)
	}
}
