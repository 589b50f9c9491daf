package robots

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

// folder writes files by their path below a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string, maxAge time.Duration) *Folder {
	t.Helper()
	f, err := Open(dir, maxAge, now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const closed = "User-agent: *\nDisallow: /\n"

func TestFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"plain.example/robots.txt":          closed,
		"gone.example/meta.json":            `{"status": 404, "fetched_at": "2026-11-26T03:00:00+09:00"}`,
		"gone-with-text.example/meta.json":  `{"status": 410}`,
		"gone-with-text.example/robots.txt": closed,
		"down.example/meta.json":            `{"status": 503}`,
		"silent.example/meta.json":          `{"status": 0}`,
		"lost.example/meta.json":            `{"status": 200}`,
		"port.example_8443/robots.txt":      "",
		"new.example/meta.json":             `{"fetched_at": "2026-11-20T03:00:01Z", "final_url": "https://www.new.example/robots.txt", "etag": "x"}`,
		"new.example/robots.txt":            closed,
		"old.example/meta.json":             `{"fetched_at": "2026-11-20T02:59:59Z"}`,
		"old.example/robots.txt":            closed,
		"empty.example/other.txt":           "x",
		"README":                            "not a folder",
	})
	for _, c := range []struct {
		authority    string
		found, fresh bool // without and with an age of 7 days
		file         string
		status       int
		allowed      bool
	}{
		{"plain.example", true, false, "plain.example/robots.txt", 200, false},
		{"gone.example", true, true, "gone.example/meta.json", 404, true},
		{"gone-with-text.example", true, false, "gone-with-text.example/robots.txt", 410, true},
		{"down.example", true, false, "down.example/meta.json", 503, false},
		{"silent.example", true, false, "silent.example/meta.json", 0, false},
		{"lost.example", false, false, "", 0, false},
		{"port.example_8443", true, false, "port.example_8443/robots.txt", 200, true},
		{"port.example", false, false, "", 0, false},
		{"new.example", true, true, "new.example/robots.txt", 200, false},
		{"old.example", true, false, "old.example/robots.txt", 200, false},
		{"empty.example", false, false, "", 0, false},
		{"README", false, false, "", 0, false},
		{"..", false, false, "", 0, false},
	} {
		f := open(t, dir, 0)
		entry, ok := f.Entry(c.authority)
		if ok != c.found || ok && (entry.File != c.file || entry.Status != c.status) {
			t.Errorf("%s: %v %+v", c.authority, ok, entry)
		}
		a, ok := f.Answer(c.authority)
		if got := a.Allowed("*", site+"/x"); ok != c.found || got != c.allowed {
			t.Errorf("%s: %v, allowed %v", c.authority, ok, got)
		}
		if _, fresh := open(t, dir, 7*24*time.Hour).Answer(c.authority); fresh != c.fresh {
			t.Errorf("%s at most a week old: %v", c.authority, fresh)
		}
	}
	if e, _ := open(t, dir, 0).Entry("new.example"); e.FinalURL != "https://www.new.example/robots.txt" || e.FetchedAt.IsZero() {
		t.Errorf("%+v", e)
	}
}

func TestFolderRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"status": "200"}`: "a.example/meta.json: json", `{`: "meta.json", `{"fetched_at": "yesterday"}`: "meta.json",
		`{"status": 1000}`: "status 1000 is none of HTTP", strings.Repeat(" ", maxMeta+1): "65537 bytes, more than 65536",
	} {
		if _, err := Open(folder(t, map[string]string{"a.example/meta.json": text}), 0, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v", text, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), 0, now); err == nil {
		t.Error("a folder that is not there is opened")
	}
	dir := folder(t, map[string]string{"a.example/x": ""})
	if err := syscall.Mkfifo(filepath.Join(dir, "a.example/robots.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 0, now); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// The digest changes with whatever may change an answer, and with nothing else.
func TestFolderDigest(t *testing.T) {
	files := map[string]string{"a.example/robots.txt": closed, "a.example/meta.json": `{"fetched_at": "2026-11-20T00:00:00Z"}`, "b.example/robots.txt": ""}
	first := open(t, folder(t, files), 0).Digest()
	if open(t, folder(t, files), 0).Digest() != first {
		t.Error("another folder of the same files has another digest")
	}
	if open(t, folder(t, files), 1000*time.Hour).Digest() == first {
		t.Error("b.example has no date, so that an age makes a difference")
	}
	for _, c := range [][2]string{
		{"a.example/robots.txt", closed + "#"}, {"b.example/robots.txt", closed},
		{"a.example/meta.json", `{"status": 404, "fetched_at": "2026-11-20T00:00:00Z"}`},
		{"a.example/meta.json", `{"fetched_at": "2026-11-21T00:00:00Z"}`}, {"c.example/robots.txt", ""}, {"c.example/meta.json", `{"status": 500}`},
	} {
		changed := map[string]string{c[0]: c[1]}
		for path, text := range files {
			if path != c[0] {
				changed[path] = text
			}
		}
		if open(t, folder(t, changed), 0).Digest() == first {
			t.Errorf("%s: %q leaves the digest as it was", c[0], c[1])
		}
	}
}

// A file that changes between Open and its use must not decide: the digest would be another's.
func TestFolderChanges(t *testing.T) {
	dir := folder(t, map[string]string{"a.example/robots.txt": "", "b.example/robots.txt": ""})
	f := open(t, dir, 0)
	if err := os.WriteFile(filepath.Join(dir, "a.example/robots.txt"), []byte("#"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Answer("a.example"); ok {
		t.Error("a changed file answers")
	}
	if _, ok := f.Answer("b.example"); !ok {
		t.Error("the other does not")
	}
	if err := f.Err(); err == nil || !strings.Contains(err.Error(), "a.example/robots.txt was changed while it was in use") {
		t.Error(err)
	}
}

// More text than is kept parsed, from several goroutines: answers stay right and the cache within its bound.
func TestFolderCache(t *testing.T) {
	files := map[string]string{}
	for i := range 12 {
		files[fmt.Sprintf("h%d.example/robots.txt", i)] = "User-agent: *\nDisallow: /" + fmt.Sprint(i) + "$\n" + strings.Repeat("#\n", MaxSize/2-100)
	}
	files["big.example/robots.txt"] = closed + strings.Repeat("#\n", MaxSize)
	f := open(t, folder(t, files), 0)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for n := range 30 {
				i := n * 7 % 12
				a, ok := f.Answer(fmt.Sprintf("h%d.example", i))
				if !ok || a.Allowed("a", fmt.Sprintf("%s/%d", site, i)) || !a.Allowed("a", fmt.Sprintf("%s/%d", site, i+1)) {
					t.Errorf("h%d.example answers wrongly", i)
				}
			}
		})
	}
	all.Wait()
	if a, ok := f.Answer("big.example"); !ok || a.Allowed("a", site+"/") {
		t.Error("a file beyond the limit is not read")
	}
	if f.cached > maxCached || len(f.parsed) == 0 || len(f.parsed) > maxCached/(MaxSize-1000) {
		t.Errorf("%d bytes in %d texts are kept", f.cached, len(f.parsed))
	}
}

func TestAuthority(t *testing.T) {
	for url, want := range map[string]string{
		"https://data.example.co.jp": "data.example.co.jp", "HTTPS://DATA.Example.CO.JP/x": "data.example.co.jp",
		"http://a.example:80/": "a.example", "http://a.example:443/": "a.example_443", "https://a.example:443": "a.example",
		"https://a.example:80": "a.example_80", "https://a.example:08443/": "a.example_8443", "https://a.example:?x": "a.example",
		"https://\u65e5\u672c\u8a9e.example/\u793e": "xn--wgv71a119e.example", "https://xn--wgv71a119e.example/": "xn--wgv71a119e.example",
		"https://\uff21.example\u3002jp/": "a.example.jp", "https://a.example./": "a.example", "https://user:pw@a.example/": "a.example",
		"https://a_b.example/": "a_b.example", "https://127.0.0.1:8080/": "127.0.0.1_8080", "https://[2001:DB8::1]:8443/": "[2001:db8::1]_8443",
		"https://a.example#x": "a.example", "https://a.example?x=https://b.example": "a.example", "https://a.example/100%": "a.example",
		"https://a.example/a b": "a.example", "https://localhost": "localhost",
	} {
		if got, ok := Authority(url); got != want || !ok {
			t.Errorf("%s: %q %v, want %q", url, got, ok, want)
		}
	}
	for _, url := range []string{
		"", "a.example", "//a.example/x", "/x", "https:/a.example", "https:a.example", "https://", "https:///x", "https://?x", "ftp://a.example", "file:///x",
		"https://a..example", "https://.", "https://../x", "https://.a", "https://a.example:99999", "https://a.example:0", "https://a.example:x",
		"https://a b/", "https://a.example\n", "https://a.example/\x00", "https://a%2Fb/", "https://a\\b/", "https://" + strings.Repeat("a", 64) + ".example",
		"https://" + strings.Repeat("a.", 127) + "example", "https://a.b_8443/", "mailto:x@a.example", "https://a.example/" + strings.Repeat("x", maxURL),
		"\u898b\u3064\u3051\u305f\u30da\u30fc\u30b8",
	} {
		if got, ok := Authority(url); ok {
			t.Errorf("%.60q is taken for %s", url, got)
		}
	}
}
