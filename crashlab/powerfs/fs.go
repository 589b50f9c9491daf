package powerfs

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const capacity = 1 << 30 // bytes, unless a quota says less: all of it is memory

// FS is a mounted file system. Its methods may be called from several goroutines, but
// Remount and Unmount from one at a time.
type FS struct {
	dir      string
	watchdog *watchdog

	mu       sync.Mutex
	rng      *rand.Rand
	root     *inode
	pending  []*change // in order
	nextID   uint64
	used     int64 // bytes, in blocks
	quota    int64
	quotaErr syscall.Errno
	counts   [kinds]int64
	written  int64
	cuts     int64
	last     Report
	faults   []*fault
	armed    *arming
	atCut    func()
	conn     *conn
}

type arming struct {
	kinds Kind
	left  int64
}

// Stats counts from Mount on.
type Stats struct {
	Ops     map[string]int64 // by kind, the failed ones too
	Written int64            // bytes
	Used    int64            // bytes now, in blocks
	Pending int              // changes of names that are not durable
	Cuts    int64
}

// Mount mounts an empty file system at dir, an existing folder. The same seed and operations give the
// same result. The error wraps ErrUnavailable where this machine does not allow the mount.
func Mount(dir string, seed uint64) (*FS, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mount powerfs: %w", err)
	}
	now := time.Now()
	f := &FS{dir: dir, rng: rand.New(rand.NewPCG(seed, 0)), nextID: 1, quota: capacity, quotaErr: syscall.ENOSPC}
	f.root = f.newInode(unix.S_IFDIR|0o755, fuse.Owner{}, now)
	f.root.linked = true
	if f.conn, err = f.attach(); err != nil {
		return nil, fmt.Errorf("mount powerfs at %s: %w", dir, err)
	}
	if f.watchdog, err = watch(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("mount powerfs at %s: %w", dir, err), f.conn.detach(dir))
	}
	return f, nil
}

// Dir is the mount point.
func (f *FS) Dir() string { return f.dir }

// Unmount ends the file system and discards its contents. Files that are still open return errors.
func (f *FS) Unmount() error {
	f.watchdog.end()
	return f.conn.detach(f.dir)
}

// Remount mounts what survived a cut, at the same place.
func (f *FS) Remount() error {
	f.mu.Lock()
	old := f.conn
	f.mu.Unlock()
	if !old.isDead() {
		return fmt.Errorf("remount %s: power has not failed", f.dir)
	}
	if err := old.detach(f.dir); err != nil {
		return fmt.Errorf("remount %s: %w", f.dir, err)
	}
	fresh, err := f.attach()
	if err != nil {
		return fmt.Errorf("remount %s: %w", f.dir, err)
	}
	f.mu.Lock()
	f.conn = fresh
	f.mu.Unlock()
	return nil
}

// Cut lets power fail now. It does nothing if power has failed already.
func (f *FS) Cut() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.conn.dead {
		f.cut(Report{})
	}
	return f.last
}

// CutAt lets power fail at the n-th operation of these kinds from now on; 0 stands for Mutating. Whether
// that operation still happens is left to chance. The channel is closed when power has failed. A later
// CutAt replaces an earlier one.
func (f *FS) CutAt(n int64, which Kind) <-chan struct{} {
	if which == 0 {
		which = Mutating
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = &arming{which, max(n, 1)}
	return f.conn.down
}

// AtCut has do called at each cut, before any operation returns an error: to kill processes that power
// takes down too. It must not use the file system.
func (f *FS) AtCut(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.atCut = do
}

// Disarm cancels CutAt.
func (f *FS) Disarm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = nil
}

// Down returns a channel that is closed when this mount loses power. Each Remount has a channel of its own.
func (f *FS) Down() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conn.down
}

// LastCut returns the report of the last cut.
func (f *FS) LastCut() Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Fail makes operations fail until clear is called. It returns an error for a bad pattern.
func (f *FS) Fail(r Rule) (clear func(), err error) {
	if _, err := path.Match(r.Path, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", r.Path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	added := &fault{Rule: r}
	f.faults = append(f.faults, added)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.faults = slices.DeleteFunc(f.faults, func(x *fault) bool { return x == added })
	}, nil
}

// Quota bounds the bytes of all files, counted in blocks of 4 KiB; operations beyond it return errno. 0
// bytes remove the bound. The blocks of a deleted file are free once it is closed.
func (f *FS) Quota(bytes int64, errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.quota, f.quotaErr = bytes, errno
	if bytes == 0 {
		f.quota, f.quotaErr = capacity, syscall.ENOSPC
	}
}

// Stats counts what happened so far.
func (f *FS) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Ops: map[string]int64{}, Written: f.written, Used: f.used, Pending: len(f.pending), Cuts: f.cuts}
	for i, n := range f.counts {
		s.Ops[kindNames[i]] = n
	}
	return s
}

// cut is called with the lock held.
func (f *FS) cut(report Report) {
	applySome(f.rng, f.pending, &report)
	f.root = survivor(f.rng, f.root, nil, "", &report)
	f.pending, f.armed, f.used = nil, nil, usedBy(f.root)
	f.last = report
	f.cuts++
	f.conn.dead = true
	if f.atCut != nil {
		f.atCut()
	}
	close(f.conn.down)
}

func usedBy(n *inode) int64 {
	sum := blocks(n.live.size)
	for _, child := range n.names {
		sum += usedBy(child)
	}
	return sum
}

func blocks(size int64) int64 { return (size + blockSize - 1) / blockSize * blockSize }

func (f *FS) newInode(mode uint32, owner fuse.Owner, now time.Time) *inode {
	n := &inode{id: f.nextID, attr: attr{mode: mode, uid: owner.Uid, gid: owner.Gid, atime: now, mtime: now, ctime: now}}
	n.disk = n.attr // durable with the name
	if n.isDir() {
		n.names, n.diskNames = map[string]*inode{}, map[string]*inode{}
	}
	f.nextID++
	return n
}

// setNames changes names atomically; programs see them at once.
func (f *FS) setNames(slots []slot, to []*inode) {
	now := time.Now()
	c := &change{slots: slots, to: to}
	for i, s := range slots {
		if was := s.dir.names[s.name]; was != nil && !slices.Contains(to, was) {
			was.linked, was.attr.ctime = false, now
			f.release(was)
		}
		if to[i] != nil {
			c.all = c.all || len(slots) > 1 && slots[0].dir != slots[1].dir && to[i].isDir()
		}
	}
	for i, s := range slots {
		if to[i] == nil {
			delete(s.dir.names, s.name)
		} else {
			s.dir.names[s.name] = to[i]
			to[i].parent, to[i].name, to[i].linked = s.dir, s.name, true
		}
		s.dir.attr.mtime, s.dir.attr.ctime = now, now
	}
	f.pending = append(f.pending, c)
}

// release frees the space of a file without a name that no program has open. Its content stays: a cut
// may bring its name back.
func (f *FS) release(n *inode) {
	if !n.linked && n.opens == 0 && !n.freed {
		f.used -= blocks(n.live.size)
		n.freed = true
	}
}

// resize changes a file's size within the quota.
func (f *FS) resize(n *inode, size int64) fuse.Status {
	more := blocks(size) - blocks(n.live.size)
	if more > 0 && f.used+more > f.quota {
		return fuse.Status(f.quotaErr)
	}
	f.used += more
	n.live.resize(size, &n.durable)
	n.lowest = min(n.lowest, size)
	return fuse.OK
}

func (f *FS) write(n *inode, data []byte, off int64) (int, fuse.Status) {
	free := max(0, f.quota-f.used) / blockSize * blockSize
	if fits := blocks(n.live.size) + free - off; fits <= 0 && len(data) > 0 {
		return 0, fuse.Status(f.quotaErr)
	} else if int64(len(data)) > fits {
		data = data[:fits] // a short write; the next one returns the error
	}
	before := blocks(n.live.size)
	n.live.writeAt(data, off, &n.durable)
	f.used += blocks(n.live.size) - before
	f.written += int64(len(data))
	n.attr.mtime = time.Now()
	n.attr.ctime = n.attr.mtime
	return len(data), fuse.OK
}

func (f *FS) sync(n *inode) {
	n.durable, n.lowest, n.disk = n.live.share(), n.live.size, n.attr
}

func (f *FS) list(dir *inode) []fuse.DirEntry {
	up := dir
	if dir.parent != nil {
		up = dir.parent
	}
	entries := []fuse.DirEntry{{Name: ".", Mode: dir.attr.mode, Ino: dir.id}, {Name: "..", Mode: up.attr.mode, Ino: up.id}}
	for _, name := range slices.Sorted(maps.Keys(dir.names)) {
		entries = append(entries, fuse.DirEntry{Name: name, Mode: dir.names[name].attr.mode, Ino: dir.names[name].id})
	}
	for i := range entries {
		entries[i].Off = uint64(i + 1)
	}
	return entries
}

// do runs an operation, unless power is out or fails at it, or a rule fails it.
func (c *conn) do(kind Kind, paths func() []string, apply func() fuse.Status) fuse.Status {
	f := c.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.dead {
		return fuse.EIO
	}
	f.counts[bits.TrailingZeros32(uint32(kind))]++
	if a := f.armed; a != nil && a.kinds&kind != 0 {
		if a.left--; a.left == 0 {
			report := Report{Op: kind, Path: paths()[0], Applied: f.rng.IntN(2) == 0}
			if report.Applied {
				apply()
			}
			f.cut(report)
			return fuse.EIO
		}
	}
	if len(f.faults) > 0 {
		names := paths()
		for _, fault := range f.faults {
			if fault.fails(kind, names) {
				return fuse.Status(fault.Errno)
			}
		}
	}
	return apply()
}
