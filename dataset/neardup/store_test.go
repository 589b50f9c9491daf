package neardup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// row is what Add takes.
type row struct {
	train  bool
	ref    Ref
	digest uint64
	sig    Signature
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t testing.TB, s *Store, rows []row) {
	t.Helper()
	for _, r := range rows {
		if err := s.Add(r.train, r.ref, r.digest, &r.sig); err != nil {
			t.Fatal(err)
		}
	}
}

func filled(t testing.TB, rows []row) *Store {
	t.Helper()
	s := open(t, t.TempDir())
	add(t, s, rows)
	return s
}

func twins(t testing.TB, s *Store, threshold float64) map[Ref]Twin {
	t.Helper()
	found, err := s.Twins(context.Background(), threshold)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// family makes rows in groups whose texts differ in a few positions, as texts of high similarity do.
func family(r *rand.Rand, n int) (rows []row) {
	var base Signature
	for i := range n {
		if r.IntN(4) == 0 || i == 0 {
			for j := range base {
				base[j] = r.Uint32()
			}
		}
		sig := base
		for range r.IntN(20) - 2 {
			sig[r.IntN(permutations)] = r.Uint32()
		}
		rows = append(rows, row{r.IntN(5) > 0, Ref{int32(i % 3), int64(i)}, r.Uint64N(uint64(n)) * 0x9e3779b97f4a7c15, sig})
	}
	return rows
}

// Every pair, compared.
func plainTwins(rows []row, threshold float64) map[Ref]Twin {
	found := map[Ref]Twin{}
	for i := range rows {
		for j := range rows {
			if rows[i].train || !rows[j].train {
				continue
			}
			if similarity := rows[i].sig.Similarity(&rows[j].sig); similarity >= threshold && similarity > found[rows[i].ref].Similarity {
				found[rows[i].ref] = Twin{rows[j].ref, similarity}
			}
		}
	}
	return found
}

func TestTwins(t *testing.T) {
	rows := family(rand.New(rand.NewPCG(1, 2)), 3000)
	s := filled(t, rows)
	for _, threshold := range []float64{0.85, 0.9, 1} {
		want := plainTwins(rows, threshold)
		if len(want) < 30 {
			t.Fatalf("threshold %v: only %d twins", threshold, len(want))
		}
		for _, s.partition = range []int64{maxPartition, 700, 10} {
			if got := twins(t, s, threshold); !maps.Equal(got, want) {
				t.Errorf("threshold %v, partitions of %d: %d twins, want %d", threshold, s.partition, len(got), len(want))
			}
		}
	}
	digests, want := map[uint64]bool{}, int64(0)
	for _, r := range rows {
		if digests[r.digest] {
			want++
		}
		digests[r.digest] = true
	}
	for _, s.partition = range []int64{maxPartition, 700, 10} {
		if got, err := s.Duplicates(context.Background()); got != want || err != nil {
			t.Errorf("partitions of %d: %d duplicates, %v, want %d", s.partition, got, err, want)
		}
	}
}

// From texts to twins: near copies are found, texts of the same words are not.
func TestTwinsOfTexts(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	letters := []rune("在庫表の最新版は共有フォルダーにあります。機密情報を公開できませんThe latest version ")
	var rows []row
	want := map[Ref]Ref{}
	for i := range 500 {
		text := randomText(r, letters, 200+r.IntN(400))
		near := text[:len(text)/2] + "。\n" + text[len(text)/2:] // a line break more, and other case and width
		of, ref := Ref{0, int64(i)}, Ref{1, int64(i)}
		rows = append(rows, row{true, of, r.Uint64(), Of(text)}, row{false, ref, r.Uint64(), Of(strings.ToUpper(near))})
		rows = append(rows, row{false, Ref{2, int64(i)}, r.Uint64(), Of(randomText(r, letters, 300))})
		want[ref] = of
	}
	found := twins(t, filled(t, rows), 0.85)
	if len(found) < 495 {
		t.Errorf("%d of 500 near copies found", len(found))
	}
	for ref, twin := range found {
		if want[ref] != twin.Of {
			t.Errorf("%v has the twin %v, want %v", ref, twin, want[ref])
		}
	}
}

func TestTwinsOfNothing(t *testing.T) {
	s := filled(t, nil)
	if n, err := s.Duplicates(context.Background()); len(twins(t, s, 0.8)) != 0 || n != 0 || err != nil {
		t.Error(n, err)
	}
	for _, threshold := range []float64{0, -1, 1.01} {
		if _, err := s.Twins(context.Background(), threshold); err == nil {
			t.Errorf("threshold %v was accepted", threshold)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s = filled(t, family(rand.New(rand.NewPCG(1, 1)), 10))
	if _, err := s.Twins(ctx, 0.8); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Records of one template agree in many bands, all with all: time must not grow with their square.
func TestTemplates(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var rows []row
	var template Signature
	for i := range 20_000 {
		sig := template
		for j := 100; j < permutations; j++ { // 12 bands are the template's
			sig[j] = r.Uint32()
		}
		rows = append(rows, row{i%2 == 0, Ref{0, int64(i)}, uint64(i) << 32, sig})
	}
	rows[15_001].sig = rows[10_002].sig // its one true twin stands among 10,000 records of the same keys
	s := filled(t, rows)
	start := time.Now()
	found := twins(t, s, 0.75)
	if len(found) != 10_000 || found[Ref{0, 15_001}] != (Twin{Ref{0, 10_002}, 1}) {
		t.Errorf("%d twins; that of the equal one is %v", len(found), found[Ref{0, 15_001}])
	}
	t.Logf("%v", time.Since(start))
	s.partition = 100
	if again := twins(t, s, 0.75); !maps.Equal(again, found) {
		t.Error("the result depends on the partitions")
	}
}

// A process that dies anywhere goes on from its last position: the result is that of one that did not.
func TestKills(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	rows := family(r, 1200)
	for range 20 {
		dir := t.TempDir()
		s := open(t, dir)
		saved := s.Position()
		for n := 0; n < len(rows); {
			step := min(len(rows)-n, 1+r.IntN(300))
			add(t, s, rows[n:n+step])
			n += step
			if r.IntN(2) == 0 {
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
				saved = s.Position()
			}
			if r.IntN(3) > 0 {
				continue
			}
			// Kill: buffers are lost, or written in part.
			for i := range s.columns {
				if r.IntN(2) == 0 {
					s.columns[i].writer.Flush()
				}
				if r.IntN(4) == 0 {
					s.columns[i].file.Write([]byte("torn"))
				}
			}
			s.Close()
			s = open(t, dir)
			if err := s.Add(true, Ref{}, 0, &Signature{}); n > 0 && saved.Records > 0 && err == nil {
				t.Fatal("a store of an earlier process was taken as it is")
			}
			if err := s.Truncate(saved); err != nil {
				t.Fatal(err)
			}
			n = int(saved.Records)
		}
		if got, want := twins(t, s, 0.85), plainTwins(rows, 0.85); !maps.Equal(got, want) || s.Position() != filled(t, rows).Position() {
			t.Fatalf("%d twins, want %d", len(got), len(want))
		}
	}
}

func TestDamage(t *testing.T) {
	rows := family(rand.New(rand.NewPCG(7, 8)), 300)
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, rows)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	position := s.Position()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != columnCount {
		t.Fatal(names, err)
	}
	try := func() error {
		s := open(t, dir)
		defer s.Close()
		if err := s.Truncate(position); err != nil {
			return err
		}
		_, err := s.Twins(context.Background(), 0.85)
		_, err2 := s.Duplicates(context.Background())
		return errors.Join(err, err2)
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := append([]byte(nil), data...)
		for i := range changed {
			changed[i] ^= 4
		}
		for what, damaged := range map[string][]byte{"short": data[:len(data)-1], "changed": changed, "empty": nil} {
			if err := os.WriteFile(name, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var damage *DamageError
			if err := try(); !errors.As(err, &damage) {
				t.Errorf("%s %s: %v", what, filepath.Base(name), err)
			}
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []Position{{Records: -1}, {Records: 301}, {Records: 1 << 60}} {
		if err := open(t, dir).Truncate(p); err == nil {
			t.Errorf("a position of %d records was accepted", p.Records)
		}
	}
}

// A million records: time and memory.
func TestMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("a million records")
	}
	r := rand.New(rand.NewPCG(9, 10))
	s := open(t, t.TempDir())
	runtime.GC()
	var peak atomic.Uint64
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse))
			}
		}
	}()
	start := time.Now()
	var base Signature
	for i := range 1_000_000 {
		if i%100 != 1 {
			for j := range base {
				base[j] = r.Uint32()
			}
		}
		if err := s.Add(i%100 != 1, Ref{0, int64(i)}, uint64(i%900_000)*0x9e3779b97f4a7c15, &base); err != nil {
			t.Fatal(err)
		}
	}
	added := time.Since(start)
	found := twins(t, s, 0.85)
	compared := time.Since(start) - added
	duplicates, err := s.Duplicates(context.Background())
	close(done)
	if len(found) != 10_000 || duplicates != 100_000 || err != nil {
		t.Errorf("%d twins, %d duplicates, %v", len(found), duplicates, err)
	}
	figures := fmt.Sprintf("added in %v, compared in %v, all in %v, heap %d MB", added, compared, time.Since(start), peak.Load()>>20)
	if t.Log(figures); peak.Load() > 64<<20 {
		t.Error(figures)
	}
}
