package audit

import (
	"os"
	"path/filepath"
	"testing"

	"so8t/fuzzguard"
)

// FuzzVerify reads any two files as a log: it must not panic, and find no more whole than was written.
func FuzzVerify(f *testing.F) {
	o := logOptions(f)
	o.CheckpointRecords = 3
	l := mustOpen(f, o)
	for n := range 3 {
		answerOnce(f, l, n)
	}
	mustClose(f, l)
	files := snapshot(f, o.Dir)
	const name = "000001.jsonl"
	f.Add(files[name], files[notesName])
	f.Add(files[name][:300], files[notesName][:100])
	f.Add([]byte(`{"v":1,"seq":1,"crc":"00000000"}`+"\n"), []byte("so8t\n1\n\n"))
	dir := filepath.Join(f.TempDir(), "log")
	must(f, os.Mkdir(dir, 0o700))
	f.Fuzz(func(t *testing.T, segment, notes []byte) {
		must(t, os.WriteFile(filepath.Join(dir, name), segment, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, notesName), notes, 0o600))
		var r Report
		fuzzguard.Call(t, len(segment)+len(notes), fuzzguard.Bound{PerByte: 200, Fixed: 4 << 20}, func() {
			r = Verify(dir, VerifyOptions{Keys: o.Keys.Public()})
		})
		if _, err := LastNote(dir); err == nil && r.Outcome == Unreadable {
			t.Errorf("a log with a checkpoint is unreadable: %s", r.Why)
		}
		if r.Outcome == Whole && r.Answers > 3 {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzParse takes any line: what it takes apart, it finds in the line.
func FuzzParse(f *testing.F) {
	_, files := killed(f, 1, nil)
	for _, text := range files {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _, rest, err := field(text)
		if err == nil && len(rest) >= len(text) {
			t.Errorf("%q behind a field of %q", rest, text)
		}
		if n := valueLength(text); n < 0 || n > len(text) {
			t.Errorf("%d of %d bytes", n, len(text))
		}
		_, _ = parse(text)
		_, _ = OpenCheckpoint(text, nil)
	})
}
