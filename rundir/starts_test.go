package rundir

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"so8t/disk"
)

func TestStartsAreCounted(t *testing.T) {
	d := dirOf(t.TempDir())
	for _, c := range []struct {
		what    string
		place   string
		resumes int
		want    int
	}{
		{"the first start", "training at step 7", 0, 1},
		{"no progress", "training at step 7", 0, 2},
		{"still none", "training at step 7", 0, 3},
		{"progress", "training at step 8", 0, 1},
		{"none again", "training at step 8", 0, 2},
		{"a person's resume", "training at step 8", 1, 1},
	} {
		if n, err := d.CountStart(c.place, c.resumes); n != c.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", c.what, n, err, c.want)
		}
	}
	d.ForgetStarts()
	d.ForgetStarts()
	if n, err := d.CountStart("training at step 8", 1); n != 1 || err != nil {
		t.Errorf("after an attempt that ended in good order: %d, %v", n, err)
	}
	if err := os.WriteFile(d.starts(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := d.CountStart("training at step 8", 1); n != 1 || err != nil {
		t.Errorf("after damage: %d, %v", n, err)
	}
}

// open takes the directory for an attempt.
func open(t *testing.T, l Layout, attempt int64) *Dir {
	t.Helper()
	d, err := Open(t.Context(), runOf(string(l), "borea"), attempt, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// A late attempt changes nothing that the next one goes by.
func TestNothingIsWrittenWithoutTheLease(t *testing.T) {
	l := Layout(t.TempDir())
	late := open(t, l, 1)
	if _, err := late.CountStart("here", 0); err != nil {
		t.Fatal(err)
	}
	open(t, l, 2)
	late.ForgetStarts()
	if _, err := os.Stat(l.starts()); err != nil {
		t.Errorf("the count of starts is gone: %v", err)
	}
	_, count := late.CountStart("here", 0)
	_, once := Once(late, "thing", "key", nil, func() (int, error) { return 1, nil })
	_, promote := late.Promote()
	for what, err := range map[string]error{"CountStart": count, "Once": once, "Promote": promote} {
		if !errors.Is(err, disk.ErrLeaseLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, path := range []string{l.done("thing"), l.FinalModel()} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
