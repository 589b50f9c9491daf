package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// snapshot reads the files of a log.
func snapshot(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// restore makes the log hold those files.
func restore(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// killed returns the files of a log whose process was killed after n answers, and the log's options.
func killed(t testing.TB, n int, change func(*Options)) (Options, map[string][]byte) {
	t.Helper()
	o := logOptions(t)
	if change != nil {
		change(&o)
	}
	l := mustOpen(t, o)
	for i := range n {
		answerOnce(t, l, i)
	}
	files := snapshot(t, o.Dir)
	mustClose(t, l)
	return o, files
}

func lastLine(text []byte) (begins int) { return bytes.LastIndexByte(text[:len(text)-1], '\n') + 1 }

// Whatever of the last record reached the disk, the next start continues from the one before it, and says what it cut off.
func TestTornAtEveryByte(t *testing.T) {
	t.Parallel() // most of its time is waiting for the disk
	o, files := killed(t, 2, nil)
	const name = "000001.jsonl"
	text := files[name]
	last := lastLine(text)
	for at := last; at <= len(text); at++ {
		torn := maps.Clone(files)
		torn[name] = text[:at]
		restore(t, o.Dir, torn)
		if r := wantWhole(t, o); r.Torn != int64(at-last) && at < len(text) {
			t.Errorf("torn at byte %d: %d bytes are said to be unfinished", at-last, r.Torn)
		}
		mustClose(t, mustOpen(t, o))
		r := wantWhole(t, o)
		all := allOf(t, o)
		said := strings.Contains(all, fmt.Sprintf(`"bytes":"%d"`, at-last))
		if inside := at > last && at < len(text); said != inside || r.Torn != 0 || !strings.HasPrefix(all, string(text[:last])) {
			t.Fatalf("torn at byte %d: %+v\n%s", at-last, r, all)
		}
	}
}

// A loss of power leaves any sectors of what was not synced. All of that was never acknowledged.
func TestTornBatch(t *testing.T) {
	o, files := killed(t, 2, nil)
	const name = "000001.jsonl"
	l, err := parse(bytes.TrimSuffix(files[name][lastLine(files[name]):], []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	h := head{l.seq, sha256.Sum256(bytes.TrimSuffix(files[name][lastLine(files[name]):], []byte("\n")))}
	batch, synced := []byte{}, h.seq
	for i := range 5 {
		batch, h = appendLine(batch, h, l.at, "answer", fmt.Appendf(nil, `{"id":"req_%d"}`, i), synced)
	}
	for hole := 0; hole < len(batch)-1; hole += 17 {
		torn := maps.Clone(files)
		broken := bytes.Clone(batch)
		broken[hole] = 0
		torn[name] = append(bytes.Clone(files[name]), broken...)
		restore(t, o.Dir, torn)
		mustClose(t, mustOpen(t, o))
		wantWhole(t, o)
		kept := bytes.LastIndexByte(batch[:hole], '\n') + 1
		if all := allOf(t, o); !strings.HasPrefix(all, string(torn[name][:len(files[name])+kept])+`{"v":1,"seq":`) ||
			!strings.Contains(all, fmt.Sprintf(`"bytes":"%d"`, len(batch)-kept)) {
			t.Fatalf("with byte %d lost:\n%s", hole, all)
		}
	}
}

// A line that was on disk once is not cut off: the start is refused, and names it.
func TestRefusesToStart(t *testing.T) {
	small := func(o *Options) { o.SegmentBytes = 3000 }
	o, files := killed(t, 12, small)
	newest := segmentName(len(files) - 1)
	lines := strings.SplitAfter(string(files[newest]), "\n")
	if len(lines) < 4 {
		t.Fatalf("%s has %d lines", newest, len(lines))
	}
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		want   string
	}{
		"a byte before the last line": {func(f map[string][]byte) {
			f[newest] = bytes.Replace(bytes.Clone(f[newest]), []byte(`"end":"`), []byte(`"end":"x`), 1)
		}, newest + ":"},
		"a line removed":             {func(f map[string][]byte) { f[newest] = []byte(lines[0] + strings.Join(lines[2:], "")) }, newest + ":2"},
		"the segment before removed": {func(f map[string][]byte) { delete(f, segmentName(len(files)-2)) }, "is missing"},
		"cut behind a checkpoint": {func(f map[string][]byte) {
			delete(f, newest)
			f[segmentName(len(files)-2)] = f[segmentName(len(files)-2)][:900]
		}, ""},
		"all segments removed": {func(f map[string][]byte) {
			for name := range f {
				if name != notesName {
					delete(f, name)
				}
			}
		}, "is cut"},
		"a checkpoint altered": {func(f map[string][]byte) {
			f[notesName] = bytes.Replace(bytes.Clone(f[notesName]), []byte("so8t\n"), []byte("so9t\n"), 1)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			changed := maps.Clone(files)
			c.change(changed)
			restore(t, o.Dir, changed)
			l, err := Open(o)
			if name == "a checkpoint altered" { // an old one is for verify to find: a start looks at the newest segment's
				if err != nil {
					t.Fatal(err)
				}
				mustClose(t, l)
				if r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()}); r.Outcome != Altered {
					t.Errorf("%+v", r)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("opened: %v, want an error with %q", err, c.want)
			}
			if now := snapshot(t, o.Dir); !maps.EqualFunc(now, changed, bytes.Equal) {
				t.Error("the refused start changed the log")
			}
		})
	}
}

// An empty newest segment continues from the one before.
func TestEmptyNewestSegment(t *testing.T) {
	o, files := killed(t, 12, func(o *Options) { o.SegmentBytes = 3000 })
	newest := len(files) - 1
	// The end of the segment before is signed: rotation did that before it made the next.
	for _, torn := range []int{0, 1, 100} {
		changed := maps.Clone(files)
		changed[segmentName(newest)] = files[segmentName(newest)][:torn]
		changed[notesName] = notesUpTo(t, files[notesName], files[segmentName(newest)])
		restore(t, o.Dir, changed)
		wantWhole(t, o)
		mustClose(t, mustOpen(t, o))
		if r := wantWhole(t, o); r.Segments != newest {
			t.Errorf("%+v", r)
		}
	}
}

// notesUpTo returns the checkpoints of the segments before one.
func notesUpTo(t *testing.T, all, segment []byte) []byte {
	t.Helper()
	first, _, _ := bytes.Cut(segment, []byte("\n"))
	l, err := parse(first)
	if err != nil {
		t.Fatal(err)
	}
	var kept []byte
	parts := bytes.SplitAfter(all, []byte("\n\n"))
	for i := 0; i+1 < len(parts); i += 2 {
		one := append(bytes.Clone(parts[i]), parts[i+1]...)
		c, err := OpenCheckpoint(bytes.TrimSuffix(one, []byte("\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Seq < l.seq {
			kept = append(kept, one...)
		}
	}
	return kept
}
