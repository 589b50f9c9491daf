package evaluation

import (
	"slices"
	"strings"
	"testing"

	"so8t/version"
)

// An evaluation that another build began names both, and so does the report.
func TestVersionsOfAnEvaluation(t *testing.T) {
	tok := loadTokenizer(t)
	part := testPart(t, tok)
	var first Batch
	stop := func(b Batch) error { first = b; return errStop }
	if _, err := Run(t.Context(), believer(t, tok), tok, part, Options{BatchSize: 2}, Session{Keep: stop}); err == nil {
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
		row := evaluated(Times{StartedAt: e.StartedAt, FinishedAt: e.FinishedAt, Versions: e.Versions}, e.Figures)
		if !strings.HasSuffix(row, "; by "+strings.Join(texts(want), " and ")) {
			t.Errorf("the report says %q", row)
		}
	}
}

func texts(versions []version.Version) (out []string) {
	for _, v := range versions {
		out = append(out, v.String())
	}
	return out
}
