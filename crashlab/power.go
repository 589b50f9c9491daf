package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"so8t/crashlab/powerfs"
)

// losePower has runs write to disks that lose power, again and again.
func losePower(ctx context.Context, root, dir string, want *result) error {
	if err := tryMount(dir); errors.Is(err, powerfs.ErrUnavailable) {
		fmt.Printf("losses of power: skipped: %v\n", err)
		return nil
	} else if err != nil {
		return err
	}
	led := newLedger(os.Stdout, cli.Slack)
	began := time.Now()
	err := inLanes(ctx, led.total, cli.Power, func(ctx context.Context, i int, more func() bool) error {
		name := fmt.Sprintf("power%d", i)
		if err := powerLane(ctx, name, root, filepath.Join(dir, name), cli.Seed+100+uint64(i), led, want, more); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	led.table()
	fmt.Printf("seed %d, %v\n", cli.Seed, time.Since(began).Round(time.Second))
	return errors.Join(err, led.err())
}

func tryMount(dir string) error {
	probe := filepath.Join(dir, "probe")
	if err := os.MkdirAll(probe, 0o755); err != nil {
		return err
	}
	fs, err := powerfs.Mount(probe, 0)
	if err != nil {
		return err
	}
	return fs.Unmount()
}

// mountDisk mounts a disk that can lose its power in a new folder of dir.
func mountDisk(dir string, seed uint64) (fs *powerfs.FS, mount string, err error) {
	mount = filepath.Join(dir, "disk")
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, "", err
	}
	fs, err = powerfs.Mount(mount, seed)
	return fs, mount, err
}

func powerLane(ctx context.Context, name, root, dir string, seed uint64, led *ledger, want *result, more func() bool) error {
	fs, mount, err := mountDisk(dir, seed)
	if err != nil {
		return err
	}
	defer fs.Unmount()
	l, err := newLane(name, root, dir, filepath.Join(mount, "out"), seed, led)
	if err != nil {
		return err
	}
	defer l.close() // before the disk is unmounted
	l.want = want
	fs.AtCut(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.worker != nil {
			l.worker.signal(syscall.SIGKILL)
		}
	})
	cut := event{"power", 1, true, func(l *lane, ctx context.Context) (bool, error) { return true, l.losePower(ctx, fs) }}
	return l.live(ctx, more, []event{cut})
}

// cutKinds are the operations at which power fails; 0 stands for all that change something.
var cutKinds = []powerfs.Kind{0, powerfs.Fsync, powerfs.FsyncDir, powerfs.Rename, powerfs.Create, powerfs.Unlink, powerfs.Write}

// drawCut chooses the operation at which power fails: the n-th of a kind.
func drawCut(rng *rand.Rand) (n int64, kind powerfs.Kind) {
	kind = cutKinds[rng.IntN(len(cutKinds))]
	if n = 1 + rng.Int64N(12); kind == 0 {
		n = 1 + rng.Int64N(200)
	}
	return n, kind
}

// losePower cuts the power, mostly at an operation that makes something durable, and starts everything again.
func (l *lane) losePower(ctx context.Context, fs *powerfs.FS) error {
	select {
	case <-fs.CutAt(drawCut(l.rng)):
	case <-time.After(2 * time.Second): // idle, or all but done
		fs.Cut()
	}
	l.worker.kill()
	name := cutName(fs.LastCut())
	l.ledger.happened(name)
	if l.rng.IntN(4) == 0 { // the server's machine lost power too
		l.server.kill()
		if err := l.startServer(ctx); err != nil {
			return err
		}
	}
	if err := fs.Remount(); err != nil {
		return err
	}
	l.happens(name)
	return l.startWorker("")
}

// cutName says at which operation power failed.
func cutName(cut powerfs.Report) string {
	if cut.Op == 0 {
		return "between two operations"
	}
	return strings.TrimSpace("at " + cut.Op.String())
}
