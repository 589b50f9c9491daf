package source

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	at := time.Date(2025, 11, 8, 0, 0, 0, 0, time.UTC)
	for name, age := range map[string]time.Duration{"four_class_1.jsonl": 0, "four_class_2.jsonl": time.Hour, "four_class_3.jsonl": 2 * time.Hour,
		"four_class_[9].jsonl": 5 * time.Hour, "four_class_9.jsonl": 5 * time.Hour, "other.jsonl": -time.Hour} {
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, at, at.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	// The newest of all, but no files with records.
	err := errors.Join(os.Mkdir("four_class_4.jsonl", 0o700), syscall.Mkfifo("four_class_5.jsonl", 0o600), os.Link("other.jsonl", "same.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		paths, take, want string
	}{
		{"four_class_*.jsonl", "", "four_class_1.jsonl"},
		{"four_class_[23].jsonl", "", "four_class_2.jsonl"},
		{"four_class_3.jsonl", "", "four_class_3.jsonl"},
		{"four_class_[9].jsonl", "", "four_class_[9].jsonl"},
		{"four_class_[29].jsonl", "all", "four_class_2.jsonl four_class_9.jsonl"},
		{"other.jsonl four_class_[123].jsonl", "", "other.jsonl four_class_1.jsonl four_class_2.jsonl four_class_3.jsonl"},
		{"other.jsonl four_class_[123].jsonl", "newest", "other.jsonl"},
		{"four_class_2.jsonl four_class_[123].jsonl ./four_class_3.jsonl", "all", "four_class_2.jsonl four_class_1.jsonl four_class_3.jsonl"},
		{"same.json other.jsonl", "", "same.json"},
	} {
		got, err := Resolve(strings.Fields(c.paths), c.take)
		for i, path := range got {
			if !filepath.IsAbs(path) {
				t.Errorf("%s is not absolute", path)
			}
			got[i] = filepath.Base(path)
		}
		if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s, %q: %v, %v, want %s", c.paths, c.take, got, err, c.want)
		}
	}
	if err := os.Chtimes("four_class_2.jsonl", at, at); err != nil {
		t.Fatal(err)
	}
	if got, err := Resolve([]string{"four_class_*.jsonl"}, ""); err != nil || filepath.Base(got[0]) != "four_class_2.jsonl" {
		t.Errorf("of one age with _1, the last name is taken: %v, %v", got, err)
	}
}

func TestResolveRefusesWithAReason(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.MkdirAll("a/b.jsonl", 0o700), syscall.Mkfifo("pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"none.jsonl": "no such file", "*.csv": "no file matches", "a": "is a folder: name the files in it, as in a/*.jsonl",
		"a/*.jsonl": "matches folders only", "**/x.jsonl": "** is one folder", "[": "not a pattern", "pipe": "no regular file",
	} {
		var input *Error
		_, err := Resolve([]string{path}, "")
		if !errors.As(err, &input) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "data.input_path: ") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := Resolve(nil, ""); err == nil {
		t.Error("no path is accepted")
	}
	if _, err := Resolve([]string{"x"}, "oldest"); err == nil {
		t.Error("data.take oldest is accepted")
	}
}
