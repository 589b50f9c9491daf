package powerfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func mount(t *testing.T, seed uint64) (*FS, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := Mount(dir, seed)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(path string, text []byte, sync bool) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// afresh removes everything, durably.
func afresh(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	must(t, syncDir(dir))
}

func cut(t *testing.T, f *FS) {
	t.Helper()
	f.Cut()
	must(t, f.Remount())
}

func TestTornAtSectors(t *testing.T) {
	f, dir := mount(t, 2)
	path := filepath.Join(dir, "f")
	lost, kept, longer, shorter := 0, 0, 0, 0
	for range 60 {
		must(t, put(path, bytes.Repeat([]byte("a"), 6*sectorSize+100), true))
		must(t, syncDir(dir))
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = file.WriteAt(bytes.Repeat([]byte("b"), 9*sectorSize), sectorSize)
		must(t, errors.Join(err, file.Close()))
		cut(t, f)
		text, err := os.ReadFile(path)
		must(t, err)
		if len(text) < 6*sectorSize+100 || len(text) > 10*sectorSize {
			t.Fatalf("%v: %d bytes", f.LastCut(), len(text))
		}
		if len(text) == 10*sectorSize {
			longer++
		} else {
			shorter++
		}
		for at := 0; at < len(text); at += sectorSize {
			sector := text[at:min(at+sectorSize, len(text))]
			was := bytes.Repeat([]byte("a"), len(sector))
			if at >= 6*sectorSize {
				clear(was[min(len(was), max(0, 6*sectorSize+100-at)):])
			}
			switch {
			case at == 0 && bytes.Equal(sector, was): // nobody wrote there
			case at > 0 && bytes.Equal(sector, bytes.Repeat([]byte("b"), len(sector))):
				kept++
			case at > 0 && bytes.Equal(sector, was):
				lost++
			default:
				t.Fatalf("%v: a mixture within the sector at %d: %q", f.LastCut(), at, sector)
			}
		}
	}
	if lost == 0 || kept == 0 || longer == 0 || shorter == 0 || f.LastCut().Op != 0 {
		t.Errorf("%d sectors lost, %d kept, %d times longer, %d shorter", lost, kept, longer, shorter)
	}
}

// replace is how a careful program replaces a file; the others leave a step out.
func replace(dir, name string, text []byte, syncFile, syncName bool) error {
	if err := put(filepath.Join(dir, "new"), text, syncFile); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
		return err
	}
	if !syncName {
		return nil
	}
	return syncDir(dir)
}

// Power fails at every operation of a replacement in turn, before or after it.
func TestReplaceUnderCuts(t *testing.T) {
	for _, c := range []struct {
		writer             string
		syncFile, syncName bool
		torn, lost         bool // what the cuts must show
	}{
		{"careful", true, true, false, false},
		{"without fsync of the file", false, true, true, false},
		{"without fsync of the folder", true, false, false, true},
		{"without any", false, false, true, true},
	} {
		t.Run(c.writer, func(t *testing.T) {
			f, dir := mount(t, 3)
			path := filepath.Join(dir, "f")
			size := 5000
			old, fresh := bytes.Repeat([]byte("a"), size), bytes.Repeat([]byte("b"), size)
			torn, lost, seen := 0, 0, map[string]bool{}
			for round := range 150 {
				must(t, replace(dir, "f", old, true, true))
				down := f.CutAt(int64(1+round%8), 0)
				err := replace(dir, "f", fresh, c.syncFile, c.syncName)
				select {
				case <-down:
					if err == nil && c.syncName {
						t.Fatalf("%v, and nobody was told", f.LastCut())
					}
				default:
					must(t, err)
					f.Cut()
				}
				report := f.LastCut()
				seen[fmt.Sprint(report.Op, report.Applied)] = true
				must(t, f.Remount())
				text, readErr := os.ReadFile(path)
				switch {
				case readErr != nil:
					t.Fatalf("%v: the file is nowhere: %v", report, readErr)
				case bytes.Equal(text, fresh):
				case !bytes.Equal(text, old):
					torn++
				case err == nil:
					lost++
				}
				left, statErr := os.ReadFile(filepath.Join(dir, "new"))
				if statErr == nil && len(left) == size && bytes.Equal(text, fresh) && bytes.Equal(left, fresh) {
					t.Fatalf("%v: the file is at both places", report)
				}
			}
			if (torn > 0) != c.torn || (lost > 0) != c.lost {
				t.Errorf("%d torn, %d lost", torn, lost)
			}
			for _, kind := range []Kind{Create, Write, Rename, Fsync, FsyncDir} {
				if kind == Fsync && !c.syncFile || kind == FsyncDir && !c.syncName {
					continue
				}
				if !seen[fmt.Sprint(kind, true)] || !seen[fmt.Sprint(kind, false)] {
					t.Errorf("no cut both before and after %v: %v", kind, seen)
				}
			}
		})
	}
}

func TestCutAtKind(t *testing.T) {
	f, dir := mount(t, 4)
	before, after := 0, 0
	for range 20 {
		afresh(t, dir)
		must(t, put(filepath.Join(dir, "f"), []byte("old"), true))
		must(t, syncDir(dir))
		file, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
		must(t, err)
		down := f.CutAt(2, Fsync)
		_, err = file.WriteAt([]byte("one"), 0)
		must(t, errors.Join(err, file.Sync()))
		_, err = file.WriteAt([]byte("two"), 0)
		must(t, err)
		if err := file.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("the fsync at which power fails: %v", err)
		}
		<-down
		_, err = file.WriteAt([]byte("xxx"), 0)
		_, statErr := os.Stat(filepath.Join(dir, "f"))
		mkdirErr := os.Mkdir(filepath.Join(dir, "d"), 0o755)
		for _, err := range []error{err, statErr, mkdirErr, file.Sync()} {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("without power: %v", err)
			}
		}
		_ = file.Close()
		report := f.LastCut()
		must(t, f.Remount())
		text, err := os.ReadFile(filepath.Join(dir, "f"))
		must(t, err)
		switch {
		case report.Op != Fsync || report.Path != "f":
			t.Fatal(report)
		case report.Applied && string(text) == "two":
			after++
		case !report.Applied && (string(text) == "one" || string(text) == "two"):
			before++
		default:
			t.Fatalf("%v: %q", report, text)
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("%d before, %d after", before, after)
	}
	if err := f.Remount(); err == nil {
		t.Error("remounted with the power on")
	}
	f.CutAt(1, Mkdir)
	f.Disarm()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
}
