package powerfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Some tests need a process that does not serve the mount itself, or one that dies.
func TestMain(m *testing.M) {
	switch path := os.Getenv("POWERFS_PATH"); os.Getenv("POWERFS_CHILD") {
	case "mmap": // prints what it sees in the file through a mapping
		file, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		view, err := unix.Mmap(int(file.Fd()), 0, 5, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s", view)
		os.Exit(0)
	case "flock":
		file, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		fmt.Print(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil)
		os.Exit(0)
	case "use": // until it is killed
		for i := 0; ; i++ {
			_ = put(filepath.Join(path, "f"), make([]byte, 100_000), true)
			if i == 10 {
				fmt.Println("busy")
			}
		}
	case "serve": // and uses it, until it is killed
		if _, err := Mount(path, 1); err != nil {
			panic(err)
		}
		for range 4 {
			go func() {
				for {
					_, _ = os.Stat(filepath.Join(path, "nothing"))
				}
			}()
		}
		fmt.Println("busy")
		select {}
	}
	os.Exit(m.Run())
}

func child(what, path string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "POWERFS_CHILD="+what, "POWERFS_PATH="+path)
	c.Stderr = os.Stderr
	return c
}

func TestOtherProcesses(t *testing.T) {
	_, dir := mount(t, 1)
	path := filepath.Join(dir, "f")
	must(t, put(path, []byte("hello"), false))
	if seen, err := child("mmap", path).Output(); err != nil || string(seen) != "hello" {
		t.Errorf("mapped: %q, %v", seen, err)
	}
	must(t, put(path, []byte("other"), false))
	if seen, err := child("mmap", path).Output(); err != nil || string(seen) != "other" {
		t.Errorf("mapped after a change: %q, %v", seen, err)
	}
	file, err := os.Open(path)
	must(t, err)
	if got, err := child("flock", path).Output(); err != nil || string(got) != "true" {
		t.Errorf("free lock: %s, %v", got, err)
	}
	must(t, unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if got, err := child("flock", path).Output(); err != nil || string(got) != "false" {
		t.Errorf("held lock: %s, %v", got, err)
	}
	must(t, file.Close())
	if got, err := child("flock", path).Output(); err != nil || string(got) != "true" {
		t.Errorf("lock of a closed file: %s, %v", got, err)
	}
}

func TestUnlinkedOpenFiles(t *testing.T) {
	f, dir := mount(t, 1)
	path := filepath.Join(dir, "f")
	file, err := os.Create(path)
	must(t, err)
	must(t, os.Remove(path))
	_, err = file.WriteAt([]byte("unseen"), 0)
	must(t, errors.Join(err, file.Sync()))
	text := make([]byte, 6)
	if _, err := file.ReadAt(text, 0); err != nil || string(text) != "unseen" {
		t.Errorf("%q, %v", text, err)
	}
	if used := f.Stats().Used; used != blockSize {
		t.Errorf("%d bytes used", used)
	}
	must(t, file.Close())
	awaitUsed(t, f, 0)
}

// The same operations give the same results and the same tree here and on the system's own file system.
func TestLikeAnyFileSystem(t *testing.T) {
	f, ours := mount(t, 1)
	theirs := t.TempDir()
	rng := rand.New(rand.NewPCG(7, 7))
	names := []string{"a", "b", "c", "d/a", "d/b", "e/a", "d", "e", "e/d", "e/d/a"}
	succeeded := map[int]int{}
	for i := range 4000 {
		name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
		what, at, size := rng.IntN(14), rng.Int64N(200_000), 1+rng.IntN(100_000)
		var results [2]string
		for j, root := range []string{ours, theirs} {
			result, err := operate(what, filepath.Join(root, name), filepath.Join(root, other), at, bytes.Repeat([]byte{byte(i)}, size))
			var errno syscall.Errno
			if errors.As(err, &errno) {
				result = errno.Error()
			} else if succeeded[what]++; err != nil {
				t.Fatal(err)
			}
			results[j] = result
		}
		if results[0] != results[1] {
			t.Fatalf("operation %d (%d %s %s): %s here, %s there", i, what, name, other, results[0], results[1])
		}
		if i%200 == 199 {
			if a, b := tree(t, ours), tree(t, theirs); !maps.Equal(a, b) {
				t.Fatalf("after operation %d:\n%v\n%v", i, a, b)
			}
		}
		if i%1000 == 999 { // and when all is synced, a cut takes nothing away
			before := tree(t, ours)
			must(t, filepath.WalkDir(ours, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.IsDir() && !d.Type().IsRegular() {
					return err
				}
				return syncDir(path)
			}))
			cut(t, f)
			if after := tree(t, ours); !maps.Equal(before, after) {
				t.Fatalf("after %v:\n%v\n%v", f.LastCut(), before, after)
			}
		}
	}
	if len(succeeded) != 14 {
		t.Errorf("some operations never succeeded: %v", succeeded)
	}
}

func operate(what int, path, other string, at int64, data []byte) (string, error) {
	open := func(flags int, use func(*os.File) error) error {
		file, err := os.OpenFile(path, flags, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(use(file), file.Close())
	}
	switch what {
	case 0, 1, 2:
		return "", open(os.O_RDWR|os.O_CREATE, func(file *os.File) error {
			_, err := file.WriteAt(data, at)
			return err
		})
	case 3:
		return "", open(os.O_WRONLY|os.O_APPEND|os.O_CREATE, func(file *os.File) error {
			_, err := file.Write(data)
			return err
		})
	case 4:
		return "", open(os.O_WRONLY|os.O_CREATE|os.O_EXCL, func(*os.File) error { return nil })
	case 5:
		return "", open(os.O_WRONLY|os.O_TRUNC, func(*os.File) error { return nil })
	case 6:
		return "", os.Truncate(path, at)
	case 7, 8:
		return "", os.Mkdir(path, 0o755)
	case 9:
		return "", unix.Unlink(path)
	case 10:
		return "", unix.Rmdir(path)
	case 11:
		return "", unix.Rename(path, other)
	case 12:
		return "", unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	default:
		err := errors.Join(os.Chmod(path, 0o700), os.Chtimes(path, time.Unix(at, 0), time.Unix(at, 5)))
		if err != nil {
			return "", err
		}
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(info.Mode(), info.ModTime().UnixNano()), nil
	}
}

func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = fmt.Sprint(len(data), rand.NewChaCha8([32]byte(append(data, make([]byte, 32)...)[:32])).Uint64(), bytes.Count(data, []byte{0}), sum(data))
		}
		all[strings.TrimPrefix(path, root)] = info.Mode().String() + " " + text
		return nil
	}))
	return all
}

func sum(data []byte) (s uint64) {
	for i, b := range data {
		s += uint64(i+1) * uint64(b)
	}
	return s
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	return strings.Contains(string(table), " "+dir+" ")
}

// Nothing of a mount is left, whether files are open, or their user or the server is killed.
func TestNothingStays(t *testing.T) {
	f, dir := mount(t, 1)
	_ = f
	before := runtime.NumGoroutine()
	at := t.TempDir()
	g, err := Mount(at, 1)
	must(t, err)
	file, err := os.Create(filepath.Join(at, "open"))
	must(t, err)
	user := child("use", at)
	out, err := user.StdoutPipe()
	must(t, errors.Join(err, user.Start()))
	_, err = out.Read(make([]byte, 5))
	must(t, errors.Join(err, user.Process.Kill()))
	_ = user.Wait()
	must(t, os.WriteFile(filepath.Join(at, "g"), nil, 0o644)) // still serves
	must(t, g.Unmount())
	must(t, g.Unmount()) // again
	if mounted(t, at) || !mounted(t, dir) {
		t.Errorf("mounted: %v, %v", mounted(t, at), mounted(t, dir))
	}
	if _, err := file.Write([]byte("x")); err == nil {
		t.Error("written into nothing")
	}
	_ = file.Close()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
		}
	}

	server := child("serve", at)
	out, err = server.StdoutPipe()
	must(t, errors.Join(err, server.Start()))
	_, err = out.Read(make([]byte, 5))
	if !mounted(t, at) {
		t.Error("the other process serves nothing")
	}
	must(t, errors.Join(err, server.Process.Kill()))
	for end := time.Now().Add(2 * time.Minute); mounted(t, at); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			_ = unix.Unmount(at, unix.MNT_FORCE|unix.MNT_DETACH)
			t.Fatal("the mount of a killed process stays")
		}
	}
	_ = server.Wait()
}
