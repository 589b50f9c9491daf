package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sets returns the files of that name: the one kept here, and the one in the folder that SO8T_CASES names.
func sets(name string) []string {
	paths := []string{filepath.Join("testdata/cases", name)}
	if dir := os.Getenv("SO8T_CASES"); dir != "" {
		if path := filepath.Join(dir, name); exists(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readSet reads a line of JSON for each case.
func readSet[C any](t testing.TB, path string) (cases []C) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var c C
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no case", path)
	}
	return cases
}

type personalCase struct {
	ID, Group, Text, Why string
	Kinds, Gone, Kept    []string
}

// score counts what a set's answers are worth.
type score struct{ right, wrong, missed, left, lost int }

func (s score) precision() float64 { return float64(s.right) / float64(max(1, s.right+s.wrong)) }
func (s score) recall() float64    { return float64(s.right) / float64(max(1, s.right+s.missed)) }

// holdPersonal compares one case, and lists what is wrong with it.
func holdPersonal(s *score, c personalCase) (faults []string) {
	got := Personal(c.Text)
	for _, kind := range got {
		if slices.Contains(c.Kinds, kind) {
			s.right++
		} else {
			s.wrong++
			faults = append(faults, "false "+kind)
		}
	}
	for _, kind := range c.Kinds {
		if !slices.Contains(got, kind) {
			s.missed++
			faults = append(faults, "missed "+kind)
		}
	}
	masked := Masked(c.Text)
	for _, value := range c.Gone {
		if strings.Contains(masked, value) {
			s.left++
			faults = append(faults, "still there: "+value)
		}
	}
	for _, text := range c.Kept {
		if !strings.Contains(masked, text) {
			s.lost++
			faults = append(faults, "masked away: "+text)
		}
	}
	if len(c.Kinds) == 0 && masked != c.Text {
		s.lost++
		faults = append(faults, "changed a line without personal data")
	}
	if len(faults) > 0 {
		faults = append(faults, masked)
	}
	return faults
}

// TestCasesPII holds the rules against sets of cases, as their score.py does: 0.98 of what is found is right, 0.98 of what
// is there is found, nothing of it is left after masking, and nothing else is changed.
func TestCasesPII(t *testing.T) {
	for _, path := range append(sets("pii.jsonl"), "testdata/cases/pii_own.jsonl", "testdata/cases/pii_second.jsonl") {
		var s score
		for _, c := range readSet[personalCase](t, path) {
			if faults := holdPersonal(&s, c); len(faults) > 0 {
				t.Logf("%s %s %q: %s", c.ID, c.Group, c.Text, strings.Join(faults, "; "))
			}
		}
		figures := fmt.Sprintf("%s: precision %.3f recall %.3f, left after masking %d, lost %d", path, s.precision(), s.recall(), s.left, s.lost)
		if t.Log(figures); s.precision() < 0.98 || s.recall() < 0.98 || s.left > 0 || s.lost > 0 {
			t.Error(figures)
		}
	}
}

// TestCasesConfidential holds the markers' rule against sets of cases: 0.95 of what is taken is marked, 0.95 of what is marked is taken.
func TestCasesConfidential(t *testing.T) {
	type marked struct {
		ID, Group, Text string
		Marked          bool
	}
	for _, path := range append(sets("confidential.jsonl"), "testdata/cases/confidential_own.jsonl", "testdata/cases/confidential_second.jsonl") {
		var s score
		for _, c := range readSet[marked](t, path) {
			switch got := Confidential(c.Text); {
			case got && c.Marked:
				s.right++
			case got:
				s.wrong++
				t.Logf("%s %s %q: not marked", c.ID, c.Group, c.Text)
			case c.Marked:
				s.missed++
				t.Logf("%s %s %q: missed", c.ID, c.Group, c.Text)
			}
		}
		figures := fmt.Sprintf("%s: precision %.3f recall %.3f", path, s.precision(), s.recall())
		if t.Log(figures); s.precision() < 0.95 || s.recall() < 0.95 {
			t.Error(figures)
		}
	}
}
