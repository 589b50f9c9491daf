package rundir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/disk"
)

type entry struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"`
}

var entries = []entry{{"<final>公開</final>\n", 1.0 / 3}, {strings.Repeat("長い答え", 400), 2}, {"", 1e-300}}

// written is a journal with all entries, and its bytes.
func written(t *testing.T) (j Journal[entry], text []byte) {
	t.Helper()
	j = NewJournal[entry](&Dir{Layout: Layout(t.TempDir())}, "work")
	kept, err := j.Open("key")
	if err != nil || len(kept) != 0 {
		t.Fatalf("a fresh journal: %v, %v", kept, err)
	}
	for _, e := range entries {
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	text, err = os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	return j, text
}

// goesOn opens what a crash has left, and continues it.
func goesOn(t *testing.T, j Journal[entry], left []byte, what string, want []entry) {
	t.Helper()
	if err := os.WriteFile(j.path, left, 0o644); err != nil {
		t.Fatal(err)
	}
	kept, err := j.Open("key")
	if err != nil || !slices.Equal(kept, want) {
		t.Fatalf("%s: %d records, want %d: %v", what, len(kept), len(want), err)
	}
	last := entry{"after " + what, 7}
	if err := j.Append(last); err != nil {
		t.Fatal(err)
	}
	if kept, err = j.Open("key"); err != nil || !slices.Equal(kept, append(slices.Clone(want), last)) {
		t.Fatalf("%s: after one more record %d, want %d: %v", what, len(kept), len(want)+1, err)
	}
}

// lines are the offsets at which the lines of text begin, and its length.
func lines(text []byte) []int {
	at := []int{0}
	for line := range bytes.Lines(text) {
		at = append(at, at[len(at)-1]+len(line))
	}
	return at
}

func TestJournal(t *testing.T) {
	j, text := written(t)
	goesOn(t, j, text, "a whole journal", entries)
	if kept, err := j.Open("another key"); err != nil || len(kept) != 0 {
		t.Errorf("another key: %v, %v", kept, err)
	}
	if kept, err := j.Open("key"); err != nil || len(kept) != 0 {
		t.Errorf("the first key after another: %v, %v", kept, err)
	}
	for range 2 {
		if err := j.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := j.Append(entries[0]); err == nil {
		t.Error("a record was appended to no journal")
	}
}

// What a kill or a power cut can leave: a length of any size, sectors that were never written.
func TestJournalCutShort(t *testing.T) {
	j, text := written(t)
	at := lines(text)
	for line := range len(at) - 1 {
		for cut := at[line]; cut < at[line+1]; cut++ {
			if line == 2 && cut%97 > 1 { // the long one
				continue
			}
			goesOn(t, j, text[:cut], fmt.Sprintf("cut at byte %d", cut), entries[:max(line-1, 0)])
		}
	}
	const sector = 512
	for first := 0; first < len(text); first += sector {
		zeroed := slices.Clone(text)
		clear(zeroed[first:min(first+sector, len(text))])
		line := 0 // the first that is hit
		for at[line+1] <= first {
			line++
		}
		goesOn(t, j, zeroed, fmt.Sprintf("sector at %d zeroed", first), entries[:max(line-1, 0)])
	}
	goesOn(t, j, append(slices.Clone(text), make([]byte, 3*sector)...), "zeros behind the end", entries)
}

func TestJournalWithAFlippedBit(t *testing.T) {
	j, text := written(t)
	at := lines(text)
	for line := range len(at) - 1 {
		for _, place := range []int{at[line], at[line] + sumLength, at[line] + sumLength + 2, (at[line] + at[line+1]) / 2, at[line+1] - 1} {
			flipped := slices.Clone(text)
			flipped[place] ^= 1 << (place % 8)
			goesOn(t, j, flipped, fmt.Sprintf("bit flipped at byte %d", place), entries[:max(line-1, 0)])
		}
	}
}

func TestJournalNeedsTheLease(t *testing.T) {
	j, text := written(t)
	dir := filepath.Join(t.TempDir(), "checkpoints")
	acquire := func(attempt int64) *disk.Lease {
		l, err := disk.AcquireLease(t.Context(), dir, disk.Claimant{Owner: "borea", Attempt: attempt, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Release() })
		return l
	}
	j.lease = acquire(1)
	if _, err := j.Open("key"); err != nil {
		t.Fatal(err)
	}
	acquire(2)
	_, other := j.Open("another key")
	for what, err := range map[string]error{"open": other, "append": j.Append(entries[0]), "remove": j.Remove()} {
		if !errors.Is(err, disk.ErrLeaseLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now, err := os.ReadFile(j.path); err != nil || !bytes.Equal(now, text) {
		t.Errorf("written without the lease: %v", err)
	}
}

// A journal that an older version wrote is continued.
func TestJournalFormat(t *testing.T) {
	j := NewJournal[entry](dirOf(t.TempDir()), "work")
	if _, err := j.Open("key"); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(entries[0]); err != nil {
		t.Fatal(err)
	}
	const want = `c0c1baf2fa65372c83bc5781a31d3ee0bceb37e7917317f33a92825fe5367189 "key"` + "\n" +
		`031364572cb57e185c05f9ccf3972e8e84321ca411300f0d5e5823a533becbb9 {"text":"<final>公開</final>\n","value":0.3333333333333333}` + "\n"
	if got, err := os.ReadFile(j.path); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
