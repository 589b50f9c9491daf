package robots

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	textName = "robots.txt"
	metaName = "meta.json"
	maxMeta  = 64 << 10
	// maxCached bounds the texts whose parsed form is kept, in bytes; a parsed form takes up to 8 times that.
	maxCached = 4 << 20
)

// Folder is a Store on disk: <authority>/robots.txt and, beside it, <authority>/meta.json
//
//	{"status": 200, "fetched_at": "2026-11-27T03:00:00Z", "final_url": "https://data.example.co.jp/robots.txt"}
//
// whose keys may be left out. Without a status it is 200; robots.txt may be missing where the status is another.
type Folder struct {
	dir     string
	entries map[string]stored
	digest  [sha256.Size]byte

	mu     sync.Mutex
	parsed map[string]Answer
	cached int64 // bytes of text behind parsed
	err    error
}

type stored struct {
	Entry
	hasText, stale bool
}

// Open reads every file of the folder once, to describe and digest it; texts are parsed when they are asked for. Where
// maxAge is not 0, an answer fetched longer than that before now, or at a time that meta.json does not say, is too old.
func Open(dir string, maxAge time.Duration, now time.Time) (*Folder, error) {
	f := &Folder{dir: dir, entries: map[string]stored{}, parsed: map[string]Answer{}}
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		s, ok, err := f.describe(folder.Name())
		if err != nil {
			return nil, err
		}
		if ok {
			s.stale = maxAge > 0 && now.Sub(s.FetchedAt) > maxAge // no time is the zero time, centuries ago
			f.entries[folder.Name()] = s
		}
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f.entries)) {
		s := f.entries[name]
		fmt.Fprintf(h, "%q %x %v %v %d %q %q\n", name, s.SHA256, s.hasText, s.stale, s.Status, s.FetchedAt.Format(time.RFC3339Nano), s.FinalURL)
	}
	h.Sum(f.digest[:0])
	return f, nil
}

// describe reads the files of one authority; false where there are none.
func (f *Folder) describe(name string) (s stored, ok bool, err error) {
	meta, hasMeta, err := f.readMeta(name)
	if err != nil {
		return s, false, err
	}
	s.Status, s.FetchedAt, s.FinalURL = meta.Status, meta.FetchedAt, meta.FinalURL
	s.File = name + "/" + metaName
	text, err := f.readText(name)
	switch {
	case notThere(err):
		// A status of success without its text tells nothing.
		return s, hasMeta && (s.Status < 200 || s.Status > 299), nil
	case err != nil:
		return s, false, err
	}
	s.hasText, s.File, s.SHA256 = true, name+"/"+textName, sha256.Sum256(text)
	return s, true, nil
}

type meta struct {
	Status    int       `json:"status"`
	FetchedAt time.Time `json:"fetched_at"`
	FinalURL  string    `json:"final_url"`
}

func (f *Folder) readMeta(name string) (meta, bool, error) {
	m := meta{Status: 200}
	path := filepath.Join(f.dir, name, metaName)
	file, size, err := openRegular(path)
	if notThere(err) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	defer file.Close()
	if size > maxMeta {
		return m, false, fmt.Errorf("%s: %d bytes, more than %d", path, size, maxMeta)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxMeta))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, false, fmt.Errorf("%s: %w", path, err)
	}
	if m.Status < 0 || m.Status > 599 {
		return m, false, fmt.Errorf("%s: status %d is none of HTTP; 0 means no answer", path, m.Status)
	}
	return m, true, nil
}

// notThere covers what is not a folder: its file is not there either.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// openRegular opens a regular file. Anything else is an error, and not opened: a pipe would wait for its writer.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	return file, info.Size(), err
}

func (f *Folder) Entry(authority string) (Entry, bool) {
	s, ok := f.entries[authority]
	return s.Entry, ok && !s.stale
}

func (f *Folder) Digest() [sha256.Size]byte { return f.digest }

func (f *Folder) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *Folder) Answer(authority string) (Answer, bool) {
	s, ok := f.entries[authority]
	if !ok || s.stale {
		return Answer{}, false
	}
	if !s.hasText {
		return Answer{Status: s.Status}, true
	}
	f.mu.Lock()
	a, ok := f.parsed[authority]
	f.mu.Unlock()
	if ok {
		return a, true
	}
	text, err := f.read(authority, s) // without the lock: two may read the same file, none waits for another's
	a = Answer{s.Status, Parse(text)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if f.err == nil {
			f.err = err
		}
		return Answer{}, false
	}
	if _, ok := f.parsed[authority]; ok {
		return a, true
	}
	if f.cached += int64(len(text)); f.cached > maxCached {
		clear(f.parsed)
		f.cached = int64(len(text))
	}
	f.parsed[authority] = a
	return a, true
}

// read reads a text that must still be the one that Open digested.
func (f *Folder) read(authority string, s stored) ([]byte, error) {
	text, err := f.readText(authority)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(text) != s.SHA256 {
		return nil, errors.New(filepath.Join(f.dir, s.File) + " was changed while it was in use; start again, so that one version decides")
	}
	return text, nil
}

// readText reads what Parse looks at.
func (f *Folder) readText(authority string) ([]byte, error) {
	file, _, err := openRegular(filepath.Join(f.dir, authority, textName))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxSize+1))
}
