package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"so8t/crashlab/powerfs"
)

// cutServers has the disk of servers' audit logs lose power.
func cutServers(ctx context.Context, root, dir string) error {
	if err := tryMount(dir); errors.Is(err, powerfs.ErrUnavailable) {
		fmt.Printf("losses of power while serving: skipped: %v\n", err)
		return nil
	} else if err != nil {
		return err
	}
	t := newTally(os.Stdout)
	began := time.Now()
	err := inLanes(ctx, t.total, cli.ServePower, func(ctx context.Context, i int, more func() bool) error {
		name := fmt.Sprintf("servepower%d", i)
		if err := cutServer(ctx, root, filepath.Join(dir, name), cli.Seed+300+uint64(i), t, more); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	t.table("power while serving")
	fmt.Printf("seed %d, %v\n", cli.Seed, time.Since(began).Round(time.Second))
	return err
}

// cutServer has one server's disk lose power again and again.
func cutServer(ctx context.Context, root, dir string, seed uint64, t *tally, more func() bool) error {
	fs, mount, err := mountDisk(dir, seed)
	if err != nil {
		return err
	}
	defer fs.Unmount()
	s, err := newServing(ctx, root, dir, mount, seed, t)
	if err != nil {
		return err
	}
	defer s.close() // before the disk is unmounted
	var server atomic.Pointer[process]
	fs.AtCut(func() {
		if p := server.Load(); p != nil {
			p.signal(syscall.SIGKILL)
		}
	})
	return s.live(ctx, more, func() (string, error) {
		server.Store(s.server)
		starting := s.rng.IntN(4) == 0
		if starting {
			s.server.kill()
			if err := s.start(""); err != nil {
				return "", err
			}
			server.Store(s.server)
		}
		select {
		case <-fs.CutAt(drawServingCut(s.rng, starting)):
		case <-time.After(time.Second): // between two operations
			fs.Cut()
		}
		s.server.kill()
		server.Store(nil)
		return cutName(fs.LastCut()), fs.Remount()
	})
}

// drawServingCut chooses the operation at which power fails: a server that answers appends and syncs, one that starts also
// makes files.
func drawServingCut(rng *rand.Rand, starting bool) (n int64, kind powerfs.Kind) {
	if starting {
		return 1 + rng.Int64N(8), 0
	}
	kinds := []powerfs.Kind{0, powerfs.Fsync, powerfs.Write}
	return 1 + rng.Int64N(40), kinds[rng.IntN(len(kinds))]
}
