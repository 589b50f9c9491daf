package evaluation

import (
	"slices"
	"testing"

	"so8t/version"
)

// An evaluation that another build began names both.
func TestVersionsOfAnEvaluation(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	var first Batch
	stop := func(b Batch) error { first = b; return errStop }
	if _, err := Run(t.Context(), believer(t, tok), tok, part, Options{BatchSize: 2}, Session{Save: stop}); err == nil {
		t.Fatal("the first session was not stopped")
	}
	if first.Version != version.Current() {
		t.Errorf("a batch answered by %v", first.Version)
	}
	for earlier, want := range map[version.Version][]version.Version{
		version.Current(): {version.Current()},
		{}:                {version.Unversioned, version.Current()},
	} {
		first.Version = earlier
		e, err := Run(t.Context(), believer(t, tok), tok, part, Options{BatchSize: 2}, Session{Earlier: []Batch{first}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.Versions, want) {
			t.Errorf("versions %v, want %v", e.Versions, want)
		}
	}
}
