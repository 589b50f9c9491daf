package powerfs

import (
	"fmt"
	"path"
	"strings"
	"syscall"
)

// Kind is what an operation does; kinds are joined by |.
type Kind uint32

const (
	Create Kind = 1 << iota
	Write
	Truncate // any change of the size other than by writing
	Fsync    // of a file
	FsyncDir
	Rename
	Unlink
	Mkdir
	Rmdir
	Symlink
	SetAttr // mode, owner, times
	Open    // of files and folders; from here on nothing is changed
	Read    // of files and folders, past the kernel's cache

	Mutating = Open - 1
)

const kinds = 13

var kindNames = [kinds]string{"create", "write", "truncate", "fsync", "fsyncdir", "rename", "unlink", "mkdir", "rmdir", "symlink",
	"setattr", "open", "read"}

func (k Kind) String() string {
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Report tells what a cut of power did.
type Report struct {
	Op      Kind   // the operation at which power failed; 0: between two
	Path    string // of that operation, relative to the mount point
	Applied bool   // power failed after the operation rather than before; its caller got EIO in either case

	NamesKept, NamesLost     int // changes of names that were not durable
	SectorsKept, SectorsLost int // of the torn files
	FilesTorn                int
}

func (r Report) String() string {
	where := "between two operations"
	if r.Op != 0 {
		where = fmt.Sprintf("before %v %s", r.Op, r.Path)
		if r.Applied {
			where = fmt.Sprintf("after %v %s", r.Op, r.Path)
		}
	}
	return fmt.Sprintf("power cut %s: of unsynced names %d kept, %d lost; %d files torn, %d sectors kept, %d lost",
		where, r.NamesKept, r.NamesLost, r.FilesTorn, r.SectorsKept, r.SectorsLost)
}

// Rule makes operations fail.
type Rule struct {
	Kinds Kind
	Path  string        // pattern of path.Match, on the path below the mount point if it has a slash, else on the last name; "" matches all
	Errno syscall.Errno // what they answer
	From  int64         // the first operation to fail, counted from 1; 0 is 1
	Once  bool          // only that one fails
}

type fault struct {
	Rule
	seen int64
}

// fails counts an operation that the rule applies to, and reports whether it is to fail.
func (f *fault) fails(kind Kind, paths []string) bool {
	if f.Kinds&kind == 0 || !f.matches(paths) {
		return false
	}
	f.seen++
	from := max(f.From, 1)
	return f.seen == from || f.seen > from && !f.Once
}

func (f *fault) matches(paths []string) bool {
	for _, p := range paths {
		if !strings.Contains(f.Path, "/") {
			p = path.Base(p)
		}
		if matched, _ := path.Match(f.Path, p); matched || f.Path == "" {
			return true
		}
	}
	return false
}
