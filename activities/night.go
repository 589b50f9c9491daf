package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"so8t/contract"
	"so8t/disk"
	"so8t/export"
)

// Nights of one configuration share its output_dir:
//
//	<output_dir>/2026-11-25T0200/      everything that night's run writes
//	<output_dir>/final_model/current   link to ../2026-11-25T0200/final_model/merged, the last one promoted
//
// A night is known by its run.json, which says of what series it is and what its name was:
// a copy under another name, or somebody's own folder, is no night.

const (
	nightGuard  = ".nights" // locked while a night takes its directory, moves current, or removes old ones
	nightLayout = "2006-01-02T1504"
	currentName = "current"
)

var (
	nightName    = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d{4}(-\d+)?$`)
	removedNight = regexp.MustCompile(`^\.\d{4}-\d\d-\d\dT\d{4}(-\d+)?\.removed$`) // on its way out
)

// takeNight gives the run a directory of its own under output_dir, which run.OutputDir is
// at first: the one it has already, or one that nobody had.
func (a *Activities) takeNight(ctx context.Context, run contract.Run, in contract.ClaimInput) (contract.Run, error) {
	zone, err := in.Nightly.Zone()
	if err != nil {
		return run, fail(contract.ErrConfig, fmt.Errorf("nightly.time_zone: %w", err))
	}
	if strings.Contains(run.Config.OutputDir, workflowIDMark) {
		return run, fail(contract.ErrConfig, fmt.Errorf("output_dir %s: nightly runs have a dated directory each; leave %s out", run.Config.OutputDir, workflowIDMark))
	}
	night := &contract.Night{Root: run.OutputDir, At: in.ScheduledAt.UTC(), Series: contract.Series{Schedule: in.ScheduledBy}}
	if night.Config, err = filepath.Abs(run.ConfigPath); err != nil {
		return run, fail(contract.ErrConfig, err)
	}
	if err := disk.MakeDir(night.Root); err != nil {
		return run, fail(contract.ErrConfig, fmt.Errorf("output_dir: %w", err))
	}
	unlock, err := lockNights(ctx, night.Root)
	if err != nil {
		return run, err
	}
	defer unlock()
	dated := in.ScheduledAt.In(zone).Format(nightLayout)
	night.Name = dated
	for n := 2; ; n++ {
		run.OutputDir = filepath.Join(night.Root, night.Name)
		free, err := freeFor(run)
		if err != nil {
			return run, fail(contract.ErrConfig, fmt.Errorf("output_dir: %w", err))
		}
		if free {
			break
		}
		night.Name = fmt.Sprintf("%s-%d", dated, n)
	}
	run.Night = night
	run.CheckpointID, err = a.take(ctx, run, false)
	return run, err
}

// freeFor reports whether a night's directory is the run's own, or nobody's.
func freeFor(run contract.Run) (bool, error) {
	before, err := readOwner(run.OutputDir)
	if err == nil {
		return before.WorkflowID == run.WorkflowID, nil
	}
	var io *fs.PathError
	switch {
	case !errors.As(err, &io), errors.Is(err, syscall.ENOTDIR): // damaged, or no directory at all: not ours
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	entries, err := os.ReadDir(run.OutputDir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	// A claim that was killed leaves hidden names at most.
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }), err
}

func lockNights(ctx context.Context, root string) (unlock func(), err error) {
	guard := flock.New(filepath.Join(root, nightGuard))
	if _, err := guard.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return nil, fail(contract.ErrConfig, fmt.Errorf("output_dir: lock: %w", err))
	}
	return func() { _ = guard.Close() }, nil
}

// promoteNight points output_dir's current at this night's merged model.
func (j *job) promoteNight(ctx context.Context) (link string, err error) {
	night := j.run.Night
	unlock, err := lockNights(ctx, night.Root)
	if err != nil {
		return "", err
	}
	defer unlock()
	link = filepath.Join(night.Root, "final_model", currentName)
	return link, j.lease.During(func() error {
		return point(link, filepath.Join("..", night.Name, "final_model", export.MergedDir))
	})
}

// pruneNights removes the nights that are one too many, and says which. What keeps one from
// going is logged: it is tried again the next night.
func (j *job) pruneNights(ctx context.Context, server *Activities) (removed []string, err error) {
	root, keep := j.run.Night.Root, j.run.Config.Nightly.Keep
	unlock, err := lockNights(ctx, root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if removedNight.MatchString(e.Name()) { // by a process that was killed at it
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	current, err := currentNights(root)
	if err != nil {
		return nil, err
	}
	nights := nightsOf(root, entries, j.run.Night.Series)
	for _, old := range tooMany(nights, keep) {
		if ctx.Err() != nil {
			return removed, nil
		}
		name := old.Night.Name
		if name == j.run.Night.Name || slices.Contains(current, name) {
			continue
		}
		if err := server.removeNight(ctx, j.run, old); err != nil {
			j.log.Warn("old night stays", "night", name, "reason", err)
			continue
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// nightsOf lists a series' nights, newest first.
func nightsOf(root string, entries []fs.DirEntry, s contract.Series) (nights []owner) {
	for _, e := range entries {
		if !e.IsDir() || !nightName.MatchString(e.Name()) {
			continue
		}
		o, err := readOwner(filepath.Join(root, e.Name()))
		if err == nil && o.Night != nil && o.Night.Name == e.Name() && o.Night.Series == s {
			o.Night.Root = root // where it is now
			nights = append(nights, o)
		}
	}
	slices.SortFunc(nights, func(a, b owner) int {
		if order := b.Night.At.Compare(a.Night.At); order != 0 {
			return order
		}
		return b.Since.Compare(a.Since)
	})
	return nights
}

// tooMany is what is older than the newest keep nights that got as far as a model.
func tooMany(nights []owner, keep int) []owner {
	if keep == 0 {
		return nil
	}
	models := 0
	for i, o := range nights {
		if _, err := os.Stat(filepath.Join(o.Night.Root, o.Night.Name, "final_model", export.MetadataName)); err == nil {
			models++
		}
		if models == keep {
			return nights[i+1:]
		}
	}
	return nil
}

// currentNights names the nights that the link leads to: by its text, and by where it ends.
func currentNights(root string) (names []string, err error) {
	link := filepath.Join(root, "final_model", currentName)
	text, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(link), text)
	}
	names = append(names, firstUnder(root, text))
	end, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	return append(names, firstUnder(root, end)), nil
}

// firstUnder is the name in root under which path lies.
func firstUnder(root, path string) string {
	rest, err := filepath.Rel(root, path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(rest, string(filepath.Separator))
	return first
}

// removeNight deletes a night that nobody works on. Under its own name it is whole or gone:
// a process that is killed at it leaves a hidden name, which the next one removes.
func (a *Activities) removeNight(ctx context.Context, by contract.Run, o owner) error {
	dir := filepath.Join(o.Night.Root, o.Night.Name)
	guard := flock.New(filepath.Join(dir, ".owner"))
	if free, err := guard.TryLock(); err != nil || !free {
		return fmt.Errorf("somebody is about to take %s: %w", dir, err)
	}
	defer guard.Close()
	if o.WorkflowID != by.WorkflowID { // a workflow id has one run at a time, and this one works elsewhere
		if err := a.left(ctx, o, dir); err != nil {
			return err
		}
	}
	if err := disk.AwaitFree(ctx, filepath.Join(dir, "checkpoints"), by.WorkflowID); err != nil {
		return err
	}
	hidden := filepath.Join(o.Night.Root, "."+o.Night.Name+".removed")
	if err := os.Rename(dir, hidden); err != nil {
		return err
	}
	if err := disk.SyncDir(o.Night.Root); err != nil {
		return err
	}
	return os.RemoveAll(hidden)
}
