// Command crashlab kills retrains and their Temporal server, again and again, and compares what comes out
// with an undisturbed run: the same bits, nothing lost, and at most one checkpoint interval of work
// repeated. It kills servers that answer, too: every answer that left must have its record in the audit
// log, and the log must verify. All programs are the real ones.
//
//	make crash KILLS=1000 SEED=7
//	make crash POWER=1000
//	make crash SERVE_KILLS=500 SERVE_POWER=200
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/alecthomas/kong"
)

var cli struct {
	Kills      int           `help:"Number of disturbances of processes."`
	Power      int           `help:"Number of losses of power."`
	ServeKills int           `help:"Number of kills of a server that answers."`
	ServePower int           `help:"Number of losses of power of a server's audit log."`
	Seed       uint64        `help:"Seed of the instants and kinds of disturbance; 0 draws one."`
	Lanes      int           `default:"2" help:"Servers and runs side by side."`
	Slack      time.Duration `help:"How much work a stall of the disk may add to the work repeated."`
	Dir        string        `help:"Where to work and leave the logs of a failure; a temporary folder by default."`
}

func main() {
	kong.Parse(&cli, kong.Name("crashlab"))
	if cli.Seed == 0 {
		cli.Seed = rand.Uint64N(1 << 32)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := work(ctx)
	if err != nil {
		fmt.Printf("FAILED, seed %d; logs in %s\n%v\n", cli.Seed, dir, err)
		os.Exit(1)
	}
	if cli.Dir == "" {
		os.RemoveAll(dir)
	}
}

func work(ctx context.Context) (dir string, err error) {
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for _, name := range []string{"bin/worker", "bin/temporal", "native/build/libso8t_cpu.so", "configs/demo.yaml"} {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("%w: run make crash in the repository", err)
		}
	}
	if dir = cli.Dir; dir == "" {
		if dir, err = os.MkdirTemp("", "crashlab-"); err != nil {
			return "", err
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	fmt.Printf("seed %d, %d disturbances, %d losses of power; while serving %d and %d\n", cli.Seed, cli.Kills, cli.Power, cli.ServeKills, cli.ServePower)
	if cli.ServeKills > 0 {
		if err := killServers(ctx, root, dir); err != nil {
			return dir, err
		}
	}
	if cli.ServePower > 0 {
		if err := cutServers(ctx, root, dir); err != nil {
			return dir, err
		}
	}
	if cli.Kills == 0 && cli.Power == 0 {
		return dir, nil
	}
	want, err := reference(ctx, root, dir)
	if err != nil {
		return dir, fmt.Errorf("undisturbed run: %w", err)
	}
	fmt.Printf("undisturbed: adapter %s\n", want.Adapter)
	if cli.Kills > 0 {
		if err := disturb(ctx, root, dir, want); err != nil {
			return dir, err
		}
	}
	if cli.Power > 0 {
		return dir, losePower(ctx, root, dir, want)
	}
	return dir, nil
}

func reference(ctx context.Context, root, dir string) (*result, error) {
	l, err := newLane("calm", root, filepath.Join(dir, "calm"), filepath.Join(dir, "calm", "out"), cli.Seed, newLedger(os.Stdout, cli.Slack))
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.undisturbed(ctx)
}

// disturb spreads the disturbances over the lanes.
func disturb(ctx context.Context, root, dir string, want *result) error {
	led := newLedger(os.Stdout, cli.Slack)
	began := time.Now()
	err := inLanes(ctx, led.total, cli.Kills, func(ctx context.Context, i int, more func() bool) error {
		name := fmt.Sprintf("lane%d", i)
		l, err := newLane(name, root, filepath.Join(dir, name), filepath.Join(dir, name, "out"), cli.Seed+uint64(i), led)
		if err != nil {
			return err
		}
		defer l.close()
		l.want = want
		if err := l.live(ctx, more, events); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	led.table()
	fmt.Printf("seed %d, %v\n", cli.Seed, time.Since(began).Round(time.Second))
	return errors.Join(err, led.err())
}

// inLanes runs the lanes until that many disturbances have happened, or a lane fails.
func inLanes(parent context.Context, total func() int, events int, lane func(ctx context.Context, i int, more func() bool) error) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	more := func() bool { return total() < events && ctx.Err() == nil }
	var all sync.WaitGroup
	for i := range cli.Lanes {
		all.Go(func() {
			if err := lane(ctx, i, more); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if parent.Err() != nil {
		return nil // interrupted: the table shows how far it came
	}
	return context.Cause(ctx)
}

// live takes one run after another through disturbances, while more are wanted.
func (l *lane) live(ctx context.Context, more func() bool, events []event) error {
	if err := l.up(ctx); err != nil {
		return err
	}
	for going := true; going; {
		if err := l.begin(ctx); err != nil {
			return err
		}
		for hasty := 0; ; {
			if going = more(); !going {
				break
			}
			time.Sleep(time.Duration(l.rng.IntN(2000)) * time.Millisecond)
			done, err := l.over(ctx)
			if err != nil {
				return err
			}
			if done { // the disturbance is for the next run
				if err := l.finish(ctx); err != nil {
					return err
				}
				if err := l.begin(ctx); err != nil {
					return err
				}
				time.Sleep(time.Duration(l.rng.IntN(1500)) * time.Millisecond)
			}
			// A run that never reaches its next checkpoint pauses after five starts, as it should.
			if err := l.untilSaved(ctx); err != nil {
				return err
			}
			if err := l.disturb(ctx, events); err != nil {
				return err
			}
			// At times the next disturbance comes before the run has gone on.
			if hasty++; l.rng.IntN(5) > 0 || hasty > 2 {
				hasty = 0
				if err := l.untilProgress(ctx); err != nil {
					return err
				}
			}
			if err := l.up(ctx); err != nil {
				return err
			}
		}
		if err := l.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// disturb draws events until one can be done, or the run is over.
func (l *lane) disturb(ctx context.Context, events []event) error {
	for {
		e := draw(l.rng, events)
		done, err := e.do(l, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if done {
			if !e.counts {
				l.ledger.happened(e.name)
			}
			return nil
		}
		if over, err := l.over(ctx); over || err != nil {
			return err
		}
	}
}
