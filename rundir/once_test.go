package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestOnce(t *testing.T) {
	d := dirOf(t.TempDir())
	made := filepath.Join(string(d.Layout), "made")
	calls := 0
	do := func(key string) string {
		result, err := Once(d, "thing", key, []string{made}, func() (string, error) {
			calls++
			return fmt.Sprint(key, calls), os.WriteFile(made, nil, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first, second := do("a"), do("a")
	if first != "a1" || second != "a1" || calls != 1 {
		t.Errorf("%s, %s: done %d times", first, second, calls)
	}
	if do("b") != "b2" {
		t.Error("another key must be worked on")
	}
	if err := os.Remove(made); err != nil {
		t.Fatal(err)
	}
	if do("b") != "b3" {
		t.Error("a missing file must be made again")
	}
	if _, err := Once(d, "failing", "k", nil, func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("error swallowed")
	}
	if got, err := Once(d, "failing", "k", nil, func() (int, error) { return 3, nil }); got != 3 || err != nil {
		t.Error("a failure must not be marked done")
	}
}

// The keys of work that an older version has done must stay what they were.
func TestKeyIsStable(t *testing.T) {
	const want = "ec38a6a077ec1613e9883a25dc7bd18523034fbc73b7c0cfa08b99e9e0dbbd6c"
	got, err := Key("base", map[string]int{"b": 2, "a": 1}, 0.5, []string{"<x>"})
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}
