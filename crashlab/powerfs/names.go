package powerfs

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// attr is what chmod, chown and utimens change.
type attr struct {
	mode         uint32 // type and permissions
	uid, gid     uint32
	atime, mtime time.Time
	ctime        time.Time
}

// inode is a file, folder or symbolic link, as programs see it and as it is on the disk.
type inode struct {
	id         uint64
	attr, disk attr

	live, durable content
	lowest        int64 // smallest size since the last sync

	names, diskNames map[string]*inode // of a folder
	target           string            // of a symbolic link

	parent  *inode // of its newest name
	name    string
	linked  bool // has a name
	freed   bool // no longer counted as used
	opens   int
	lookups uint64 // references that the kernel holds
}

func (n *inode) isDir() bool { return n.attr.mode&unix.S_IFMT == unix.S_IFDIR }

// path is relative to the mount point.
func (n *inode) path() string {
	if n.parent == nil {
		return ""
	}
	return path.Join(n.parent.path(), n.name)
}

// slot is a name in a folder.
type slot struct {
	dir  *inode
	name string
}

// change sets names atomically, to nil where one is removed. It is not yet on the disk.
type change struct {
	slots []slot
	to    []*inode
	all   bool // moves a folder to another: it needs every earlier change, or folders could contain each other
}

func (c *change) apply() {
	for i, s := range c.slots {
		if c.to[i] == nil {
			delete(s.dir.diskNames, s.name)
		} else {
			s.dir.diskNames[s.name] = c.to[i]
		}
	}
}

// syncNames makes the names in dir durable, and with them the earlier changes that they depend on: of a
// file that was moved here, those of its former name.
func syncNames(pending []*change, dir *inode) (rest []*change) {
	needed, all := map[slot]bool{}, false
	wanted := make([]bool, len(pending))
	for i, c := range slices.Backward(pending) {
		wanted[i] = all || slices.ContainsFunc(c.slots, func(s slot) bool { return s.dir == dir || needed[s] })
		if wanted[i] {
			all = all || c.all
			for _, s := range c.slots {
				needed[s] = true
			}
		}
	}
	for i, c := range pending {
		if wanted[i] {
			c.apply()
		} else {
			rest = append(rest, c)
		}
	}
	return rest
}

// applySome applies a random prefix of each folder's changes, or none at all.
func applySome(rng *rand.Rand, pending []*change, report *Report) {
	left, order := map[*inode]int{}, []*inode{}
	for _, c := range pending {
		for i, s := range c.slots {
			if left[s.dir] == 0 {
				order = append(order, s.dir)
			}
			if i == 0 || s.dir != c.slots[0].dir {
				left[s.dir]++
			}
		}
	}
	allLost := rng.IntN(3) == 0
	for _, dir := range order {
		if allLost {
			left[dir] = 0
		} else {
			left[dir] = rng.IntN(left[dir] + 1)
		}
	}
	whole := true
	for _, c := range pending {
		kept := (whole || !c.all) && !slices.ContainsFunc(c.slots, func(s slot) bool { return left[s.dir] == 0 })
		for i, s := range c.slots {
			switch {
			case !kept:
				left[s.dir] = 0
			case i == 0 || s.dir != c.slots[0].dir:
				left[s.dir]--
			}
		}
		if kept {
			c.apply()
			report.NamesKept++
		} else {
			whole = false
			report.NamesLost++
		}
	}
}

// survivor returns what is left of n and all below it after a cut.
func survivor(rng *rand.Rand, n, parent *inode, name string, report *Report) *inode {
	s := &inode{id: n.id, attr: n.disk, target: n.target, parent: parent, name: name, linked: true}
	if n.attr != n.disk && rng.IntN(2) == 0 {
		s.attr = n.attr
	}
	s.disk = s.attr
	if n.live.same(&n.durable) {
		s.durable = n.durable.share()
	} else {
		s.durable = torn(rng, &n.durable, &n.live, n.lowest, report)
	}
	s.live, s.lowest = s.durable.share(), s.durable.size
	if n.isDir() {
		s.names = map[string]*inode{}
		for _, name := range slices.Sorted(maps.Keys(n.diskNames)) {
			s.names[name] = survivor(rng, n.diskNames[name], s, name, report)
		}
		s.diskNames = maps.Clone(s.names)
	}
	return s
}
