package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func fillWith(text string) func(string) error {
	return func(temp string) error { return os.WriteFile(filepath.Join(temp, "f"), []byte(text), 0o644) }
}

func contents(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReplaceDir(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "final [x]")
	for _, text := range []string{"one", "two"} {
		if err := ReplaceDir(nil, dir, fillWith(text)); err != nil || contents(t, dir) != text {
			t.Fatal(err)
		}
	}
	failed := errors.New("half-way")
	if err := ReplaceDir(nil, dir, func(string) error { return failed }); !errors.Is(err, failed) || contents(t, dir) != "two" {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// What a killed writer left is removed, and the former folder comes back if its successor is not in place.
func TestReplaceDirAfterACrash(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "merged")
	for _, name := range []string{".merged.partial-1", ".merged.former"} {
		os.Mkdir(filepath.Join(parent, name), 0o755)
		os.WriteFile(filepath.Join(parent, name, "f"), []byte(name), 0o644)
	}
	stopped := errors.New("stopped")
	if err := ReplaceDir(nil, dir, func(string) error { return stopped }); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	if contents(t, dir) != ".merged.former" {
		t.Error("the former folder did not come back")
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestReplaceDirNeedsTheLease(t *testing.T) {
	parent := t.TempDir()
	lease := acquire(t, filepath.Join(parent, "checkpoints"), "borea", 1)
	dir := filepath.Join(parent, "splits")
	if err := ReplaceDir(lease, dir, fillWith("mine")); err != nil {
		t.Fatal(err)
	}
	err := ReplaceDir(lease, dir, func(temp string) error {
		acquire(t, filepath.Join(parent, "checkpoints"), "borea", 2)
		return fillWith("late")(temp)
	})
	if !errors.Is(err, ErrLeaseLost) || contents(t, dir) != "mine" {
		t.Errorf("%v, %s", err, contents(t, dir))
	}
}
