package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// claims plays the scripts of testdata/lease in one folder. NAME is whoever acquires, all in this process.
//
//	acquire NAME owner=O [attempt=N] [timeout=D] [while=OTHER]   prints whether NAME has the lease;
//	                                          while: OTHER renews meanwhile (elsewhere: a holder on
//	                                          another host), else nobody does
//	check NAME | commit NAME | release NAME   prints what NAME is told
//	kill NAME                                 its locks are gone; it renews no more
//	advance D                                 time passes in which nobody renews
//	renew NAME                                NAME renews
//	free owner=O [while=OTHER]                what AwaitFree tells
//	lease, remove                             puts a text in the place of lease.json; removes it
//	touch FILE                                puts an empty file beside it
//	files                                     lists the folder, and the holder in lease.json
//
// go test ./disk -run TestLeaseScripts -rewrite writes the outcomes anew.
type claims struct {
	dir    string
	leases map[string]*Lease
}

// waits is how long a script lets a claimant wait: it looks at the lease several times.
const waits = 130 * time.Millisecond

func TestLeaseScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/lease", func(t *testing.T, path string) {
		c := &claims{dir: filepath.Join(t.TempDir(), "checkpoints"), leases: map[string]*Lease{}}
		t.Cleanup(func() {
			for _, l := range c.leases {
				_ = l.Release()
			}
		})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return c.run(t, d) + "\n"
		})
	})
}

func (c *claims) run(t *testing.T, d *datadriven.TestData) string {
	path := filepath.Join(c.dir, leaseName)
	switch d.Cmd {
	case "acquire":
		return c.acquire(t, d)
	case "check":
		return told(c.named(t, d).Check(), "holds the lease")
	case "commit":
		return told(c.named(t, d).During(func() error { return nil }), "committed")
	case "release":
		return told(c.named(t, d).Release(), "released")
	case "kill":
		l := c.named(t, d)
		l.end()
		l.renewer.Wait()
		return told(l.file.Close(), "dead")
	case "renew":
		c.named(t, d).beat()
		return "ok"
	case "advance":
		return told(advance(t, path, d.CmdArgs[0].Key), "ok")
	case "free":
		var owner string
		d.ScanArgs(t, "owner", &owner)
		return told(c.waiting(t, d, func(ctx context.Context) error { return AwaitFree(ctx, c.dir, owner) }), "free")
	case "lease":
		host, _ := os.Hostname()
		text := strings.ReplaceAll(d.Input, "HERE", host)
		return told(errors.Join(MakeDir(c.dir), os.WriteFile(path, []byte(text), 0o644)), "ok")
	case "touch":
		return told(os.WriteFile(filepath.Join(c.dir, d.CmdArgs[0].Key), nil, 0o644), "ok")
	case "remove":
		return told(os.Remove(path), "ok")
	case "files":
		return c.files(t)
	}
	d.Fatalf(t, "no such command")
	return ""
}

func (c *claims) named(t *testing.T, d *datadriven.TestData) *Lease {
	l := c.leases[d.CmdArgs[0].Key]
	if l == nil {
		d.Fatalf(t, "%s never acquired", d.CmdArgs[0].Key)
	}
	return l
}

func (c *claims) acquire(t *testing.T, d *datadriven.TestData) string {
	claimant, timeout := Claimant{Attempt: 1}, "1m"
	d.ScanArgs(t, "owner", &claimant.Owner)
	d.MaybeScanArgs(t, "attempt", &claimant.Attempt)
	d.MaybeScanArgs(t, "timeout", &timeout)
	var err error
	if claimant.Timeout, err = time.ParseDuration(timeout); err != nil {
		d.Fatalf(t, "%v", err)
	}
	var l *Lease
	err = c.waiting(t, d, func(ctx context.Context) (err error) {
		l, err = AcquireLease(ctx, c.dir, claimant)
		return err
	})
	if err == nil {
		c.leases[d.CmdArgs[0].Key] = l
	}
	return told(err, "holds the lease")
}

// waiting runs what may wait for a holder, for a moment; one that is named renews meanwhile.
func (c *claims) waiting(t *testing.T, d *datadriven.TestData, try func(context.Context) error) error {
	if !d.HasArg("while") {
		ctx, cancel := context.WithTimeout(context.Background(), waits)
		defer cancel()
		return try(ctx)
	}
	var other string
	d.ScanArgs(t, "while", &other)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- try(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Millisecond):
			if l := c.leases[other]; l != nil {
				l.beat()
			} else { // a holder elsewhere
				_ = os.Chtimes(filepath.Join(c.dir, leaseName), time.Time{}, time.Now())
			}
		}
	}
}

// advance ages the lease: what counts is its time of change.
func advance(t *testing.T, path, by string) error {
	d, err := time.ParseDuration(by)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime().Add(-d), info.ModTime().Add(-d))
}

func (c *claims) files(t *testing.T) string {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		line := e.Name()
		if text, err := os.ReadFile(filepath.Join(c.dir, line)); err == nil && line == leaseName {
			var h Holder
			if err := json.Unmarshal(text, &h); err != nil {
				h.Owner = err.Error()
			}
			line += fmt.Sprintf(": %s, attempt %d, timeout %v s", h.Owner, h.Attempt, h.Timeout)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

var processOf = regexp.MustCompile(`\(process \d+ on \S+, since \S+\)`)

// told is an error without what differs from run to run; a claimant that gave up waiting says so.
func told(err error, well string) string {
	var held *HeldError
	var here *os.PathError
	switch {
	case err == nil:
		return well
	case errors.As(err, &held) && errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("waits for %q", held.Holder.Owner)
	case errors.As(err, &here):
		return filepath.Base(here.Path) + ": " + here.Err.Error()
	}
	text := processOf.ReplaceAllString(err.Error(), "(process, host, time)")
	return regexp.MustCompile(`/\S*/`).ReplaceAllString(text, "")
}
