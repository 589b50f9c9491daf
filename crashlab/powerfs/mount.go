package powerfs

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrUnavailable means that this process may not mount FUSE file systems here; the error's text tells why.
var ErrUnavailable = errors.New("FUSE is not available here")

const maxRequest = 1 << 20 // bytes: the most that a kernel sends at once

// attach mounts the file system as it is on the disk.
func (f *FS) attach() (*conn, error) {
	c := &conn{RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: f, nodes: map[uint64]*inode{f.root.id: f.root},
		listings: map[uint64][]fuse.DirEntry{}, down: make(chan struct{}), served: make(chan struct{})}
	var info unix.Stat_t
	err := unix.Stat(f.dir, &info)
	if err == unix.ENOTCONN { // left by a process that died
		if err = unix.Unmount(f.dir, unix.MNT_DETACH); err == nil {
			err = unix.Stat(f.dir, &info)
		}
	}
	if err != nil {
		return nil, err
	}
	// Not through go-fuse's own mount: programs that are started would inherit its descriptor.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: open /dev/fuse: %w", ErrUnavailable, err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,max_read=%d,allow_other,default_permissions",
		fd, unix.S_IFDIR, os.Geteuid(), os.Getegid(), maxRequest)
	if err := unix.Mount(source(), f.dir, "fuse.powerfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: mount: %w", ErrUnavailable, err)
	}
	server, err := fuse.NewServer(c, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		MaxWrite: maxRequest, DisableXAttrs: true, DisableReadDirPlus: true,
		Logger: log.New(io.Discard, "", 0), // it would log each answer to a process that is gone
		PanicHandler: func(problem any) fuse.Status {
			fmt.Fprintf(os.Stderr, "powerfs: %v\n%s", problem, debug.Stack())
			return fuse.EIO
		},
	})
	if err != nil {
		return nil, errors.Join(err, unix.Unmount(f.dir, unix.MNT_FORCE|unix.MNT_DETACH))
	}
	go func() {
		defer close(c.served)
		server.Serve()
	}()
	if err := refusePoll(f.dir); err != nil {
		return nil, errors.Join(err, c.detach(f.dir))
	}
	return c, nil
}

// refusePoll teaches the kernel that this file system has no poll, as go-fuse does for its own mounts:
// otherwise a process that uses its own mount may wait for itself.
func refusePoll(dir string) error {
	fd, err := unix.Open(filepath.Join(dir, ".go-fuse-epoll-hack"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return unix.Close(fd)
}

// detach unmounts, whoever still uses the mount, and waits until the server has ended.
func (c *conn) detach(dir string) error {
	select {
	case <-c.served:
		return nil // detached already
	default:
	}
	err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
	if err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	<-c.served
	return nil
}

// source is the mount's name in the table of mounts: it has the process that serves it.
func source() string { return "powerfs-" + strconv.Itoa(os.Getpid()) }

// watchdog is a shell that unmounts when this process dies, however it dies.
type watchdog struct{ shell *exec.Cmd }

// A killed process can hold its own mount: a thread that waits for the file system cannot end, as the
// server that it waits for is gone. So the end of a pipe would never come; a pending SIGKILL (bit 8) or
// the process's state shows the death.
const watchScript = `
while sleep 1; do
	dying=
	while read -r key value _; do
		case $key$value in State:Z|State:X|SigPnd:*[13579bdf]??) dying=yes ;; esac
	done 2>/dev/null </proc/$1/status || dying=yes
	[ "$dying" ] || continue
	grep -q " powerfs-$1 " /proc/self/mountinfo && umount -f -l -c "$2"
	exit
done`

func watch(dir string) (*watchdog, error) {
	shell := exec.Command("sh", "-c", watchScript, "powerfs-watchdog", strconv.Itoa(os.Getpid()), dir)
	shell.Dir = "/"
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal to our process group must not reach it
	if err := shell.Start(); err != nil {
		return nil, fmt.Errorf("%w: watchdog: %w", ErrUnavailable, err)
	}
	return &watchdog{shell}, nil
}

func (w *watchdog) end() {
	_ = unix.Kill(-w.shell.Process.Pid, unix.SIGKILL)
	_ = w.shell.Wait()
}
