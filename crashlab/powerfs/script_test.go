package powerfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/sys/unix"
)

// disk plays the scripts of testdata: lines with an operation and its arguments. Paths are below the
// mount point, / is the mount point itself; a TEXT of x*2000 is x 2,000 times.
//
//	create PATH [TEXT] | write PATH OFFSET TEXT | truncate PATH SIZE | read PATH | size PATH | unlink PATH
//	mkdir PATH | rmdir PATH | symlink TARGET PATH | readlink PATH | link OLD NEW | chmod PATH MODE
//	rename OLD NEW | exchange ONE OTHER | sync PATH | syncdir PATH | list
//	fail KIND[|KIND] PATTERN ERRNO [from N] [once] | clear
//	quota BYTES ERRNO | used BYTES (waits until so much is) | blocks (of statfs)
//	cut | cutat N KIND | disarm | remount
//
// The command do prints what fails and what is asked for. The command states plays its script again
// and again, each time on an empty disk that then loses power, and prints each state that survived.
//
// go test ./crashlab/powerfs -run TestScripts -rewrite writes the outcomes anew.
type disk struct {
	*FS
	dir   string
	sizes map[int]bool // of the texts: what a file holds in one of these is not torn
	clear []func()
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		f, dir := mount(t, 1)
		d := &disk{FS: f, dir: dir, sizes: map[int]bool{0: true}}
		datadriven.RunTest(t, path, func(t *testing.T, c *datadriven.TestData) string {
			switch c.Cmd {
			case "do":
				return d.do(t, c.Input)
			case "states":
				rounds := 0
				c.ScanArgs(t, "rounds", &rounds)
				return d.states(t, c.Input, rounds)
			}
			c.Fatalf(t, "no such command")
			return ""
		})
	})
}

func (d *disk) do(t *testing.T, script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		said, err := d.operate(t, strings.Fields(line))
		var errno syscall.Errno
		if errors.As(err, &errno) {
			said = unix.ErrnoName(errno)
		} else if err != nil {
			said = strings.ReplaceAll(err.Error(), d.dir, "/")
		}
		if said != "" {
			fmt.Fprintf(&out, "%s: %s\n", strings.TrimSpace(line), said)
		}
	}
	return out.String()
}

func (d *disk) states(t *testing.T, script string, rounds int) string {
	seen := map[string]bool{}
	for range rounds {
		afresh(t, d.dir)
		if failed := d.do(t, script); failed != "" {
			t.Fatalf("with the power on: %s", failed)
		}
		cut(t, d.FS)
		seen[d.list(t)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), "\n") + "\n"
}

func (d *disk) operate(t *testing.T, line []string) (said string, err error) {
	arg := func(i int) string {
		if i < len(line) {
			return line[i]
		}
		return ""
	}
	path := func(i int) string { return filepath.Join(d.dir, arg(i)) }
	switch line[0] {
	case "create":
		return "", put(path(1), d.text(t, arg(2)), false)
	case "write":
		return "", open(path(1), os.O_WRONLY, func(file *os.File) error {
			_, err := file.WriteAt(d.text(t, arg(3)), number(t, arg(2)))
			return err
		})
	case "truncate":
		return "", os.Truncate(path(1), number(t, arg(2)))
	case "read":
		text, err := os.ReadFile(path(1))
		return d.short(text), err
	case "size":
		info, err := os.Stat(path(1))
		if err != nil {
			return "", err
		}
		return fmt.Sprint(info.Size()), nil
	case "unlink":
		return "", unix.Unlink(path(1))
	case "mkdir":
		return "", os.Mkdir(path(1), 0o755)
	case "rmdir":
		return "", unix.Rmdir(path(1))
	case "symlink":
		return "", os.Symlink(arg(1), path(2))
	case "readlink":
		return os.Readlink(path(1))
	case "link":
		return "", os.Link(path(1), path(2))
	case "chmod":
		mode, err := strconv.ParseUint(arg(2), 8, 32)
		must(t, err)
		return "", os.Chmod(path(1), fs.FileMode(mode))
	case "rename":
		return "", unix.Rename(path(1), path(2))
	case "exchange":
		return "", unix.Renameat2(unix.AT_FDCWD, path(1), unix.AT_FDCWD, path(2), unix.RENAME_EXCHANGE)
	case "sync", "syncdir":
		return "", syncDir(path(1))
	case "list":
		return d.list(t), nil
	default:
		return d.control(t, line[0], arg)
	}
}

// control does what is no operation of a program.
func (d *disk) control(t *testing.T, command string, arg func(int) string) (said string, err error) {
	switch command {
	case "fail":
		rule := Rule{Kinds: kindOf(t, arg(1)), Path: arg(2), Errno: errno(t, arg(3)), Once: arg(4) == "once" || arg(6) == "once"}
		if arg(4) == "from" {
			rule.From = number(t, arg(5))
		}
		clear, err := d.Fail(rule)
		if err == nil {
			d.clear = append(d.clear, clear)
		}
		return "", err
	case "clear":
		for _, clear := range d.clear {
			clear()
		}
		d.clear = nil
	case "quota":
		limit := syscall.Errno(0)
		if arg(2) != "" {
			limit = errno(t, arg(2))
		}
		d.Quota(number(t, arg(1)), limit)
	case "used":
		awaitUsed(t, d.FS, number(t, arg(1)))
	case "blocks":
		var s unix.Statfs_t
		err := unix.Statfs(d.dir, &s)
		return fmt.Sprint(s.Blocks), err
	case "cut":
		d.Cut()
	case "cutat":
		d.CutAt(number(t, arg(1)), kindOf(t, arg(2)))
	case "disarm":
		d.Disarm()
	case "remount":
		return "", d.Remount()
	default:
		t.Fatalf("no such operation: %s", command)
	}
	return "", nil
}

func open(path string, flags int, use func(*os.File) error) error {
	file, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(use(file), file.Close())
}

func number(t *testing.T, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	must(t, err)
	return n
}

func kindOf(t *testing.T, text string) (kind Kind) {
	if text == "mutating" {
		return Mutating
	}
	for name := range strings.SplitSeq(text, "|") {
		i := slices.Index(kindNames[:], name)
		if i < 0 {
			t.Fatalf("no such kind: %s", name)
		}
		kind |= 1 << i
	}
	return kind
}

func errno(t *testing.T, name string) syscall.Errno {
	for n := range syscall.Errno(200) {
		if unix.ErrnoName(n) == name {
			return n
		}
	}
	t.Fatalf("no such error: %s", name)
	return 0
}

func (d *disk) text(t *testing.T, arg string) []byte {
	if letter, times, ok := strings.Cut(arg, "*"); ok {
		arg = strings.Repeat(letter, int(number(t, times)))
	}
	d.sizes[len(arg)] = true
	return []byte(arg)
}

// short is a file's text as scripts write it; torn is what nobody wrote so.
func (d *disk) short(text []byte) string {
	switch s := string(text); {
	case !d.sizes[len(s)] || strings.Contains(s, "\x00"):
		return "torn"
	case len(s) > 16 && s == strings.Repeat(s[:1], len(s)):
		return fmt.Sprintf("%s*%d", s[:1], len(s))
	case len(s) > 512:
		return "torn"
	default:
		return fmt.Sprintf("%q", s)
	}
}

// list is all that is there, in one line.
func (d *disk) list(t *testing.T) string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == d.dir {
			return err
		}
		name := strings.TrimPrefix(path, d.dir+"/")
		switch {
		case e.IsDir():
			all = append(all, name+"/")
		case e.Type().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all = append(all, name+"="+d.short(text))
		default:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			all = append(all, name+"->"+target)
		}
		return nil
	}))
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " ")
}

// awaitUsed waits, as the kernel tells of a file's last close some time after it.
func awaitUsed(t *testing.T, f *FS, bytes int64) {
	t.Helper()
	for end := time.Now().Add(time.Minute); f.Stats().Used != bytes; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes used, not %d", f.Stats().Used, bytes)
		}
	}
}
