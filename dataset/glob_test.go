package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	at := time.Now()
	for i, name := range []string{"b.jsonl", "a.jsonl", "c.jsonl"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at.Add(time.Duration(i/2)*-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Newest(filepath.Join(dir, "*.jsonl"))
	if err != nil || filepath.Base(got) != "b.jsonl" { // a and b are equally new: the last by name
		t.Errorf("%s, %v", got, err)
	}
	if _, err := Newest(filepath.Join(dir, "*.csv")); err == nil || !strings.Contains(err.Error(), "no file matches") {
		t.Error(err)
	}
}
