package audit

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// forger changes the files of a log. It returns false where it changed nothing.
type forger func(rng *rand.Rand, files, other map[string][]byte) bool

// mutations are what somebody may do who has the log and not the key that signs.
var mutations = []struct {
	name string
	do   forger
}{
	{"a byte changed", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inAnyFile(rng, files, func(text []byte) []byte {
			text[rng.IntN(len(text))] ^= byte(1 + rng.IntN(255))
			return text
		})
	}},
	{"a bit flipped", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inAnyFile(rng, files, func(text []byte) []byte {
			text[rng.IntN(len(text))] ^= 1 << rng.IntN(8)
			return text
		})
	}},
	{"a byte removed", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inSegment(rng, files, func(text []byte) []byte {
			at := rng.IntN(len(text))
			return slices.Delete(text, at, at+1)
		})
	}},
	{"a byte inserted", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inSegment(rng, files, func(text []byte) []byte {
			return slices.Insert(text, rng.IntN(len(text)), byte(rng.IntN(256)))
		})
	}},
	{"lines removed", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inLines(rng, files, func(lines [][]byte) [][]byte {
			at := rng.IntN(len(lines))
			return slices.Delete(lines, at, at+1+rng.IntN(len(lines)-at))
		})
	}},
	{"a line inserted", func(rng *rand.Rand, files, other map[string][]byte) bool {
		foreign := bytes.SplitAfter(other[segmentName(1)], []byte("\n"))
		return inLines(rng, files, func(lines [][]byte) [][]byte {
			added := [][]byte{lines[rng.IntN(len(lines))], foreign[rng.IntN(len(foreign)-1)], []byte("\n"), []byte("{}\n")}
			return slices.Insert(lines, rng.IntN(len(lines)+1), added[rng.IntN(len(added))])
		})
	}},
	{"lines swapped", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		return inLines(rng, files, func(lines [][]byte) [][]byte {
			a, b := rng.IntN(len(lines)), rng.IntN(len(lines))
			lines[a], lines[b] = lines[b], lines[a]
			return lines
		})
	}},
	{"another log spliced in", func(rng *rand.Rand, files, other map[string][]byte) bool {
		name := anySegment(rng, files)
		foreign := bytes.SplitAfter(other[name], []byte("\n"))
		return inFile(files, name, func(text []byte) []byte {
			lines := bytes.SplitAfter(text, []byte("\n"))
			at := rng.IntN(min(len(lines), len(foreign)) - 1)
			n := 1 + rng.IntN(min(len(lines), len(foreign))-1-at)
			return bytes.Join(slices.Concat(lines[:at], foreign[at:at+n], lines[at+n:]), nil)
		})
	}},
	{"cut", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		names := segmentNames(files)
		keep := rng.IntN(len(names))
		for _, name := range names[keep+1:] {
			delete(files, name)
		}
		return inFile(files, names[keep], func(text []byte) []byte { return text[:rng.IntN(len(text))] })
	}},
	{"a segment removed", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		names := segmentNames(files)
		delete(files, names[1+rng.IntN(len(names)-1)]) // the oldest may go
		return true
	}},
	{"chained anew", func(rng *rand.Rand, files, _ map[string][]byte) bool { return chainAnew(rng, files) }},
	{"chained anew, its checkpoints removed", func(rng *rand.Rand, files, _ map[string][]byte) bool {
		delete(files, notesName)
		return chainAnew(rng, files)
	}},
	{"chained anew and signed by another key", func(rng *rand.Rand, files, other map[string][]byte) bool {
		files[notesName] = other[notesName]
		return chainAnew(rng, files)
	}},
}

func segmentNames(files map[string][]byte) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return name == notesName })
}

func anySegment(rng *rand.Rand, files map[string][]byte) string {
	names := segmentNames(files)
	return names[rng.IntN(len(names))]
}

func inFile(files map[string][]byte, name string, change func([]byte) []byte) bool {
	before := files[name]
	files[name] = change(bytes.Clone(before))
	return !bytes.Equal(before, files[name])
}

func inSegment(rng *rand.Rand, files map[string][]byte, change func([]byte) []byte) bool {
	return inFile(files, anySegment(rng, files), change)
}

func inAnyFile(rng *rand.Rand, files map[string][]byte, change func([]byte) []byte) bool {
	names := slices.Sorted(maps.Keys(files))
	return inFile(files, names[rng.IntN(len(names))], change)
}

func inLines(rng *rand.Rand, files map[string][]byte, change func([][]byte) [][]byte) bool {
	return inSegment(rng, files, func(text []byte) []byte {
		lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
		lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
		return bytes.Join(change(lines), nil)
	})
}

// chainAnew changes an answer's label and computes every later line anew, as the log would have written it.
func chainAnew(rng *rand.Rand, files map[string][]byte) bool {
	var h head
	changed, from := false, 1+rng.IntN(20)
	for i, name := range segmentNames(files) {
		var out []byte
		for n, text := range bytes.Split(bytes.TrimSuffix(files[name], []byte("\n")), []byte("\n")) {
			l, err := parse(text)
			if err != nil {
				return false
			}
			_, rest, _ := bytes.Cut(text, []byte(`"kind":"`+string(l.kind)+`"`))
			end := bytes.LastIndex(rest, []byte(`,"synced":`))
			body := append([]byte("{"), bytes.TrimPrefix(rest[:end], []byte(","))...)
			body = append(body, '}')
			if string(l.kind) == "answer" && !changed && int(l.seq) >= from {
				body = bytes.Replace(body, []byte(`"label":"ALLOW"`), []byte(`"label":"DENY"`), 1)
				changed = true
			}
			if n == 0 && i > 0 {
				body = fmt.Appendf(nil, `{"file":%q,"last":%d,"hash":"%s"}`, l.file, h.seq, h.hash)
			}
			out, h = appendLine(out, h, l.at, string(l.kind), body, l.synced)
		}
		files[name] = out
	}
	return changed
}

// Every mutation is found. -v prints how many of each kind there were.
func TestMutations(t *testing.T) {
	t.Parallel()
	const seed, tries = 11, 10_000
	o, files := mutable(t)
	_, other := mutable(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	counts, missed := map[string]map[Outcome]int{}, 0
	began := time.Now()
	for done := 0; done < tries; {
		m := mutations[rng.IntN(len(mutations))]
		changed := maps.Clone(files)
		if !m.do(rng, changed, other) {
			continue
		}
		done++
		o.hold(t, changed)
		r := Verify(o.Dir, VerifyOptions{Keys: o.Keys.Public()})
		if counts[m.name] == nil {
			counts[m.name] = map[Outcome]int{}
		}
		counts[m.name][r.Outcome]++
		if r.Outcome == Whole || r.Outcome == Unreadable {
			if missed++; missed < 10 {
				t.Errorf("seed %d, mutation %d, %s: %+v", seed, done, m.name, r)
			}
		}
	}
	for _, m := range mutations {
		t.Logf("%-40s %5d altered %5d cut", m.name, counts[m.name][Altered], counts[m.name][Cut])
	}
	t.Logf("%d mutations, %d missed, %v", tries, missed, time.Since(began).Round(time.Millisecond))
	o.hold(t, files)
	wantWhole(t, o.Options)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// held is a log whose files are changed again and again.
type held struct {
	Options
	now map[string][]byte
}

// hold makes the folder hold those files, writing only what differs.
func (h *held) hold(t testing.TB, files map[string][]byte) {
	t.Helper()
	for name, was := range h.now {
		if text, ok := files[name]; !ok || !bytes.Equal(was, text) {
			must(t, os.Remove(filepath.Join(h.Dir, name))) // ext4 syncs a file that is emptied and written again
		}
	}
	for name, text := range files {
		if was, ok := h.now[name]; !ok || !bytes.Equal(was, text) {
			must(t, os.WriteFile(filepath.Join(h.Dir, name), text, 0o600))
		}
	}
	h.now = files
}

// mutable returns a closed log of several segments and checkpoints.
func mutable(t testing.TB) (*held, map[string][]byte) {
	t.Helper()
	o := logOptions(t)
	o.SegmentBytes, o.CheckpointRecords = 6000, 10
	l := mustOpen(t, o)
	for n := range 14 {
		answerOnce(t, l, n)
	}
	mustClose(t, l)
	files := snapshot(t, o.Dir)
	if len(files) < 4 {
		t.Fatalf("%d files\n%s", len(files), files[notesName])
	}
	return &held{o, files}, files
}
