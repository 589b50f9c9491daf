package powerfs

import (
	"path"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// conn answers the kernel's requests of one mount. The file system's lock guards it.
type conn struct {
	fuse.RawFileSystem // answers ENOSYS to what is not implemented here
	fs                 *FS
	nodes              map[uint64]*inode // that the kernel knows
	listings           map[uint64][]fuse.DirEntry
	nextHandle         uint64
	dead               bool // power has failed
	down               chan struct{}
	served             chan struct{} // closed when the server has ended
}

func (c *conn) String() string { return "powerfs" }

func (c *conn) isDead() bool {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	return c.dead
}

// look runs a request that changes nothing and belongs to no Kind.
func (c *conn) look(see func() fuse.Status) fuse.Status {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	if c.dead {
		return fuse.EIO
	}
	return see()
}

// of returns the file's path for rules; it is called, and reads c.nodes, under the lock.
func (c *conn) of(id uint64) func() []string {
	return func() []string { return []string{c.nodes[id].path()} }
}

func (c *conn) in(dir uint64, name string) func() []string {
	return func() []string { return []string{path.Join(c.nodes[dir].path(), name)} }
}

// entry answers with n, which the kernel knows from now on. The kernel must cache none of it: after a cut
// everything must fail.
func (c *conn) entry(n *inode, out *fuse.EntryOut) fuse.Status {
	n.lookups++
	c.nodes[n.id] = n
	*out = fuse.EntryOut{NodeId: n.id, Generation: 1}
	fill(n, &out.Attr)
	return fuse.OK
}

func fill(n *inode, a *fuse.Attr) {
	*a = fuse.Attr{Ino: n.id, Size: uint64(n.live.size), Blocks: uint64(blocks(n.live.size)) / sectorSize, Mode: n.attr.mode, Nlink: 1, Blksize: blockSize}
	a.Uid, a.Gid = n.attr.uid, n.attr.gid
	a.SetTimes(&n.attr.atime, &n.attr.mtime, &n.attr.ctime)
	switch {
	case !n.linked:
		a.Nlink = 0
	case n.isDir():
		a.Nlink, a.Size = 2, blockSize
		for _, child := range n.names {
			if child.isDir() {
				a.Nlink++
			}
		}
	case n.target != "":
		a.Size = uint64(len(n.target))
	}
}

func (c *conn) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return c.look(func() fuse.Status {
		n := c.nodes[h.NodeId].names[name]
		if n == nil {
			return fuse.ENOENT
		}
		return c.entry(n, out)
	})
}

func (c *conn) Forget(id, count uint64) {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	if n := c.nodes[id]; n != nil && n.parent != nil {
		if n.lookups -= min(count, n.lookups); n.lookups == 0 {
			delete(c.nodes, id)
		}
	}
}

func (c *conn) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return c.look(func() fuse.Status {
		fill(c.nodes[in.NodeId], &out.Attr)
		return fuse.OK
	})
}

func (c *conn) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	kind := SetAttr
	size, sized := in.GetSize()
	if sized {
		kind = Truncate
	}
	return c.do(kind, c.of(in.NodeId), func() fuse.Status {
		n, now := c.nodes[in.NodeId], time.Now()
		if sized {
			if s := c.fs.resize(n, int64(size)); !s.Ok() {
				return s
			}
			n.attr.mtime = now
		}
		if mode, ok := in.GetMode(); ok {
			n.attr.mode = n.attr.mode&unix.S_IFMT | mode
		}
		if uid, ok := in.GetUID(); ok {
			n.attr.uid = uid
		}
		if gid, ok := in.GetGID(); ok {
			n.attr.gid = gid
		}
		if t, ok := in.GetATime(); ok {
			n.attr.atime = t
		}
		if t, ok := in.GetMTime(); ok {
			n.attr.mtime = t
		}
		n.attr.ctime = now
		fill(n, &out.Attr)
		return fuse.OK
	})
}

// add gives a new inode a name.
func (c *conn) add(kind Kind, h *fuse.InHeader, name string, mode uint32, target string, out *fuse.EntryOut) fuse.Status {
	return c.do(kind, c.in(h.NodeId, name), func() fuse.Status {
		dir := c.nodes[h.NodeId]
		if dir.names[name] != nil {
			return fuse.Status(unix.EEXIST)
		}
		n := c.fs.newInode(mode, h.Owner, time.Now())
		n.target = target
		c.fs.setNames([]slot{{dir, name}}, []*inode{n})
		return c.entry(n, out)
	})
}

func (c *conn) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	status := c.add(Create, &in.InHeader, name, unix.S_IFREG|in.Mode&0o7777, "", &out.EntryOut)
	if status.Ok() {
		c.fs.mu.Lock()
		defer c.fs.mu.Unlock()
		if n := c.nodes[out.NodeId]; n != nil {
			n.opens++
		}
	}
	return status
}

func (c *conn) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if in.Mode&unix.S_IFMT != unix.S_IFREG {
		return fuse.EPERM
	}
	return c.add(Create, &in.InHeader, name, in.Mode, "", out)
}

func (c *conn) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.add(Mkdir, &in.InHeader, name, unix.S_IFDIR|in.Mode&0o7777, "", out)
}

func (c *conn) Symlink(_ <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return c.add(Symlink, h, name, unix.S_IFLNK|0o777, target, out)
}

func (c *conn) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return fuse.EPERM // what link(2) says of file systems without hard links
}

func (c *conn) Readlink(_ <-chan struct{}, h *fuse.InHeader) (target []byte, s fuse.Status) {
	s = c.look(func() fuse.Status {
		target = []byte(c.nodes[h.NodeId].target)
		return fuse.OK
	})
	return target, s
}

func (c *conn) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return c.do(Unlink, c.in(h.NodeId, name), func() fuse.Status { return c.remove(h.NodeId, name) })
}

func (c *conn) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return c.do(Rmdir, c.in(h.NodeId, name), func() fuse.Status { return c.remove(h.NodeId, name) })
}

func (c *conn) remove(id uint64, name string) fuse.Status {
	dir := c.nodes[id]
	switch n := dir.names[name]; {
	case n == nil:
		return fuse.ENOENT
	case len(n.names) > 0:
		return fuse.Status(unix.ENOTEMPTY)
	}
	c.fs.setNames([]slot{{dir, name}}, []*inode{nil})
	return fuse.OK
}

func (c *conn) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	paths := func() []string {
		return append(c.in(in.NodeId, oldName)(), c.in(in.Newdir, newName)()...)
	}
	return c.do(Rename, paths, func() fuse.Status {
		from, to := slot{c.nodes[in.NodeId], oldName}, slot{c.nodes[in.Newdir], newName}
		moved, there := from.dir.names[oldName], to.dir.names[newName]
		switch {
		case moved == nil:
			return fuse.ENOENT
		case in.Flags == unix.RENAME_EXCHANGE && there == nil:
			return fuse.ENOENT
		case in.Flags == unix.RENAME_EXCHANGE:
			c.fs.setNames([]slot{from, to}, []*inode{there, moved})
			return fuse.OK
		case in.Flags == unix.RENAME_NOREPLACE && there != nil:
			return fuse.Status(unix.EEXIST)
		case in.Flags&^unix.RENAME_NOREPLACE != 0:
			return fuse.Status(unix.EINVAL)
		case there != nil && len(there.names) > 0:
			return fuse.Status(unix.ENOTEMPTY)
		}
		c.fs.setNames([]slot{from, to}, []*inode{nil, moved})
		return fuse.OK
	})
}

func (c *conn) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.do(Open, c.of(in.NodeId), func() fuse.Status {
		c.nodes[in.NodeId].opens++
		return fuse.OK
	})
}

func (c *conn) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	if n := c.nodes[in.NodeId]; n != nil && !c.dead {
		n.opens--
		c.fs.release(n)
	}
}

func (c *conn) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	s := c.do(Read, c.of(in.NodeId), func() fuse.Status {
		buf = buf[:c.nodes[in.NodeId].live.readAt(buf[:min(len(buf), int(in.Size))], int64(in.Offset))]
		return fuse.OK
	})
	if !s.Ok() {
		return nil, s
	}
	return fuse.ReadResultData(buf), s
}

func (c *conn) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n := 0
	s := c.do(Write, c.of(in.NodeId), func() (s fuse.Status) {
		n, s = c.fs.write(c.nodes[in.NodeId], data, int64(in.Offset))
		return s
	})
	return uint32(n), s
}

func (c *conn) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status {
	return c.look(func() fuse.Status { return fuse.OK })
}

func (c *conn) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return c.do(Fsync, c.of(in.NodeId), func() fuse.Status {
		c.fs.sync(c.nodes[in.NodeId])
		return fuse.OK
	})
}

func (c *conn) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return c.do(FsyncDir, c.of(in.NodeId), func() fuse.Status {
		dir := c.nodes[in.NodeId]
		dir.disk = dir.attr
		c.fs.pending = syncNames(c.fs.pending, dir)
		return fuse.OK
	})
}

func (c *conn) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status { return fuse.ENOTSUP }

func (c *conn) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.do(Open, c.of(in.NodeId), func() fuse.Status {
		c.nextHandle++
		out.Fh = c.nextHandle
		c.listings[out.Fh] = nil
		return fuse.OK
	})
}

func (c *conn) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return c.do(Read, c.of(in.NodeId), func() fuse.Status {
		if in.Offset == 0 { // opened or rewound
			c.listings[in.Fh] = c.fs.list(c.nodes[in.NodeId])
		}
		entries := c.listings[in.Fh]
		for i := in.Offset; i < uint64(len(entries)) && out.AddDirEntry(entries[i]); i++ {
		}
		return fuse.OK
	})
}

func (c *conn) ReleaseDir(in *fuse.ReleaseIn) {
	c.fs.mu.Lock()
	defer c.fs.mu.Unlock()
	delete(c.listings, in.Fh)
}

func (c *conn) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return c.look(func() fuse.Status {
		free := uint64(max(0, c.fs.quota-c.fs.used)) / blockSize
		*out = fuse.StatfsOut{Blocks: uint64(c.fs.quota) / blockSize, Bfree: free, Bavail: free, Bsize: blockSize, Frsize: blockSize,
			Files: 1 << 20, Ffree: 1 << 20, NameLen: 255}
		return fuse.OK
	})
}
