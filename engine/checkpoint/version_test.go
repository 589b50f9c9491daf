package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"so8t/version"
)

// A run that another build goes on with names both, and which of them computed a checkpoint.
func TestVersionsAreCarriedOn(t *testing.T) {
	dir := t.TempDir()
	a, b := version.Version{Tag: "a", Arithmetic: 1}, version.Version{Tag: "b", Arithmetic: 2}
	resume := func(v version.Version, step int) Info {
		s := openStore(t, dir, Options{Version: v})
		if step > 1 {
			wantLatest(t, s, step-1)
		}
		mustSave(t, s, step)
		return wantLatest(t, s, step)
	}
	for i, c := range []struct {
		by   version.Version
		want []version.Version
	}{{a, []version.Version{a}}, {a, []version.Version{a}}, {b, []version.Version{a, b}}, {a, []version.Version{a, b}}} {
		if info := resume(c.by, i+1); info.Version != c.by || !slices.Equal(info.Versions, c.want) {
			t.Errorf("step %d: computed by %v, versions %v; want %v", i+1, info.Version, info.Versions, c.want)
		}
	}
	s := openStore(t, dir, Options{})
	wantLatest(t, s, 4)
	mustSave(t, s, 5)
	if info := wantLatest(t, s, 5); info.Version != version.Current() || !slices.Equal(info.Versions, []version.Version{a, b, version.Current()}) {
		t.Errorf("%v, %v", info.Version, info.Versions)
	}
}

// A checkpoint of the time before there were versions is read, and says so in the next one's list.
func TestUnversionedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	info := mustSave(t, openStore(t, dir, Options{}), 1)
	path := filepath.Join(info.Dir, manifestName)
	m, err := readManifest(info.Dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Version, m.Versions = version.Version{}, nil
	text, err := m.encode()
	if err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil || strings.Contains(string(text), "version") {
		t.Fatalf("%v: %s", err, text)
	}
	s := openStore(t, dir, Options{})
	if info := wantLatest(t, s, 1); info.Version != version.Unversioned || !slices.Equal(info.Versions, []version.Version{version.Unversioned}) {
		t.Errorf("%+v", info)
	}
	mustSave(t, s, 2)
	info = wantLatest(t, s, 2)
	if want := []version.Version{version.Unversioned, version.Current()}; info.Version != version.Current() || !slices.Equal(info.Versions, want) {
		list, _ := json.Marshal(info.Versions)
		t.Errorf("%v, %s", info.Version, list)
	}
}
