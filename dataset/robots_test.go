package dataset

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/policy"
)

// A robots file that changes while a split reads it ends the split: what it removed for that is in no folder and in no work that
// a later attempt goes on with.
func TestChangedRobotsFileEndsTheSplit(t *testing.T) {
	var lines []string
	for i := range 400 {
		lines = append(lines, withText(t, "source_url", fmt.Sprintf("https://site%d.example/page", i/200), i))
	}
	o := options(t, lines)
	stored := t.TempDir()
	write := func(site int, text string) {
		t.Helper()
		dir := filepath.Join(stored, fmt.Sprintf("site%d.example", site))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "robots.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const open = "User-agent: *\nAllow: /\n"
	write(0, open)
	write(1, open)
	require := func(o *policy.Options) { o.Robots, o.RobotsDir = "require", stored }
	o.commitEvery = 1
	o.Policy = withPolicy(t, require)
	write(1, open+"# changed\n")
	if _, err := Split(context.Background(), o); err == nil || !strings.Contains(err.Error(), "site1.example") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(o.Dir); !os.IsNotExist(err) {
		t.Errorf("a splits folder is left: %v", err)
	}
	write(1, open)
	o.Policy = withPolicy(t, require)
	mustSplit(t, o)
	if r := readReport(t, o); r.Removed["robots_missing"] != 0 || r.Robots["site1.example"].Records != 200 || r.Robots["site1.example"].Removed != 0 {
		t.Errorf("removed %v, robots %v", r.Removed, r.Robots)
	}
}

// Without classes a sample has no label, whatever the records say.
func TestNoLabelsWithoutClasses(t *testing.T) {
	o := options(t, records(t, 0, 200))
	o.Records.FourClass, o.QuadrupleThinking = false, false
	m := mustSplit(t, o)
	eachSample(t, o, func(part string, s Sample) {
		if s.Label != "" || s.Domain != "office" {
			t.Errorf("%s: label %q, domain %q", part, s.Label, s.Domain)
		}
	})
	counted := o
	counted.Tokenizer, counted.MaxSeqLength = nil, 0
	checked, r, err := Check(context.Background(), counted)
	if err != nil {
		t.Fatal(err)
	}
	for part, name := range partNames {
		if n := len(m.part(part).PerLabel) + len(checked.part(part).PerLabel) + len(r.Parts[name].PerLabel); n > 0 {
			t.Errorf("%s counts %d labels: %v", name, n, checked.part(part).PerLabel)
		}
	}
}
