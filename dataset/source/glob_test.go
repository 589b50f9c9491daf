package source

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNewestMatch(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2025, 11, 8, 0, 0, 0, 0, time.UTC)
	for name, age := range map[string]time.Duration{"four_class_1.jsonl": 0, "four_class_2.jsonl": time.Hour, "four_class_3.jsonl": 2 * time.Hour,
		"four_class_[9].jsonl": 5 * time.Hour, "other.jsonl": -time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "four_class_4.jsonl"), 0o700); err != nil { // the newest, but no file
		t.Fatal(err)
	}
	check := func(pattern, want string) {
		t.Helper()
		path, info, err := NewestMatch(filepath.Join(dir, pattern))
		if err != nil || filepath.Base(path) != want || info.Name() != want {
			t.Errorf("%s gave %s, %v, want %s", pattern, path, err, want)
		}
	}
	check("four_class_*.jsonl", "four_class_1.jsonl")
	check("four_class_[23].jsonl", "four_class_2.jsonl")
	check("four_class_3.jsonl", "four_class_3.jsonl")
	check("four_class_[9].jsonl", "four_class_[9].jsonl")
	if err := os.Chtimes(filepath.Join(dir, "four_class_2.jsonl"), at, at); err != nil {
		t.Fatal(err)
	}
	check("four_class_*.jsonl", "four_class_2.jsonl") // of one age with _1: the last name
}

func TestNewestIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.jsonl", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := Newest("*.jsonl"); err != nil || !filepath.IsAbs(path) || filepath.Base(path) != "a.jsonl" {
		t.Errorf("%s, %v", path, err)
	}
	var input *Error
	if _, err := Newest("*.csv"); !errors.As(err, &input) {
		t.Errorf("no match: %v", err)
	}
}
