package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// sites writes a robots_dir with one site, fetched two days before noon.
func sites(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	site := filepath.Join(dir, "a.example")
	if err := os.Mkdir(site, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"robots.txt": text,
		"meta.json": `{"status": 200, "fetched_at": "2026-11-25T21:00:00+09:00", "final_url": "https://www.a.example/robots.txt"}`} {
		if err := os.WriteFile(filepath.Join(site, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func versionOf(t *testing.T, change func(*Options)) string {
	t.Helper()
	o := Default()
	change(&o)
	p, err := newAt(o, noon)
	if err != nil {
		t.Fatal(err)
	}
	return p.Version()
}

func TestVersion(t *testing.T) {
	dir, same, other := sites(t, "#"), sites(t, "#"), sites(t, "")
	require := func(change func(*Options)) func(*Options) {
		return func(o *Options) {
			o.Robots, o.RobotsDir = "require", dir
			if change != nil {
				change(o)
			}
		}
	}
	off, on := versionOf(t, func(*Options) {}), versionOf(t, require(nil))
	if off == on || len(off) != 64 {
		t.Errorf("off %s, require %s", off, on)
	}
	for why, change := range map[string]func(*Options){
		"a folder that is not read":  func(o *Options) { o.RobotsDir = other },
		"agents that are not asked":  func(o *Options) { o.RobotsAgents, o.ContentSignals, o.RobotsMaxAgeDays = []string{"x"}, "ignore", 3 },
		"a missing licence unlisted": func(o *Options) { o.LicenseMissing = "drop" },
		"every kind by name": func(o *Options) {
			o.PII = "keep"
			for _, kind := range Kinds() {
				if kind != "corporate_number" {
					o.PIIKinds[kind] = "drop"
				}
			}
		},
		"a kind's own default": func(o *Options) { o.PIIKinds = map[string]string{"corporate_number": "keep", "email": "drop"} },
	} {
		if versionOf(t, change) != off {
			t.Errorf("%s changes the version", why)
		}
	}
	for why, change := range map[string]func(*Options){
		"pii": func(o *Options) { o.PII = "mask" }, "a kind": func(o *Options) { o.PIIKinds = map[string]string{"email": "mask", "corporate_number": "keep"} },
		"confidential": func(o *Options) { o.Confidential = "keep" }, "licences": func(o *Options) { o.Licenses = []string{"MIT"} },
		"nsfw": func(o *Options) { o.NSFW = "drop" }, "near duplicates": func(o *Options) { o.NearDuplicates = "drop" },
		"their threshold": func(o *Options) { o.NearDuplicateThreshold = 0.9 },
	} {
		if versionOf(t, change) == off {
			t.Errorf("%s leaves the version as it was", why)
		}
	}
	for why, change := range map[string]func(*Options){
		"the same files elsewhere": func(o *Options) { o.RobotsDir = same },
		"an agent twice":           func(o *Options) { o.RobotsAgents = []string{"*", "*"} },
	} {
		if versionOf(t, require(change)) != on {
			t.Errorf("%s changes the version", why)
		}
	}
	for why, change := range map[string]func(*Options){
		"another text": func(o *Options) { o.RobotsDir = other }, "another agent": func(o *Options) { o.RobotsAgents = []string{"x"} },
		"an age by which it is stale": func(o *Options) { o.RobotsMaxAgeDays = 1 }, "signals": func(o *Options) { o.ContentSignals = "ignore" },
	} {
		if versionOf(t, require(change)) == on {
			t.Errorf("%s leaves the version as it was", why)
		}
	}
}

func TestAuthority(t *testing.T) {
	dir := sites(t, "#")
	o := Default()
	o.Robots, o.RobotsDir, o.RobotsMaxAgeDays = "require", dir, 2
	p, err := newAt(o, noon)
	if err != nil {
		t.Fatal(err)
	}
	const hash = "334359b90efed75da5f0ada1d5e6b256f4a6bd0aee7eb39c0f90182a021ffc8b" // of "#"
	want := Authority{"a.example/robots.txt", hash, 200, "2026-11-25T12:00:00Z", "https://www.a.example/robots.txt"}
	if name, a, ok := p.Authority("https://A.example:443/x"); name != "a.example" || a != want || !ok {
		t.Errorf("%s %+v %v", name, a, ok)
	}
	if name, a, ok := p.Authority("https://b.example:81/x"); name != "b.example_81" || a != (Authority{}) || !ok {
		t.Errorf("nothing is stored, but %s %+v %v", name, a, ok)
	}
	for _, none := range []string{"", "x"} {
		if name, _, ok := p.Authority(none); name != "" || ok {
			t.Errorf("%q has the authority %s", none, name)
		}
	}
	r := Record{SourceURL: "https://a.example/x"}
	if v := p.Judge(&r); v.Result != Keep {
		t.Errorf("two days old: %+v", v)
	}
	if p, err = newAt(o, noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if name, a, ok := p.Authority(r.SourceURL); name != "a.example" || a != (Authority{}) || !ok {
		t.Errorf("too old, but %s %+v %v", name, a, ok)
	}
	if v := p.Judge(&r); v.Rule != "robots_missing" {
		t.Errorf("too old: %+v", v)
	}

	o.RobotsMaxAgeDays = 0
	if p, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.example/robots.txt"), []byte("##"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v := p.Judge(&r); v.Rule != "robots_missing" || p.Err() == nil {
		t.Errorf("changed since New: %+v, %v", v, p.Err())
	}
	o.RobotsDir = filepath.Join(dir, "none")
	if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), "policy.robots_dir: ") {
		t.Error(err)
	}
	if p, err = New(Default()); err != nil {
		t.Fatal(err)
	}
	if name, _, ok := p.Authority(r.SourceURL); name != "" || ok || p.Err() != nil {
		t.Errorf("nothing is asked for, but %s %v", name, ok)
	}
}
