package rundir

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"so8t/contract"
	"so8t/disk"
)

var removedNight = regexp.MustCompile(`^\.\d{4}-\d\d-\d\dT\d{4}(-\d+)?\.removed$`) // see Layout.removed

// PruneNights removes the oldest nights of the run's series, so that the newest nightly.keep with a model
// stay, and returns the names of those removed. A night that cannot be removed is logged, and tried again
// after the next night.
func (d *Dir) PruneNights(ctx context.Context, run contract.Run, running Running) (removed []string, err error) {
	root := Layout(run.Night.Root)
	unlock, err := root.lockNights(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(string(root))
	if err != nil {
		return nil, err
	}
	if err := root.finishRemovals(entries); err != nil {
		return nil, err
	}
	current, err := root.currentNights()
	if err != nil {
		return nil, err
	}
	for _, old := range root.surplus(root.nightsOf(entries, run.Night.Series), run.Config.Nightly.Keep) {
		if ctx.Err() != nil {
			return removed, nil
		}
		name := old.Night.Name
		if name == run.Night.Name || slices.Contains(current, name) {
			continue
		}
		if err := root.removeNight(ctx, old, run.WorkflowID, running); err != nil {
			d.log.Warn("old night stays", "night", name, "reason", err)
			continue
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// finishRemovals deletes what a process that was killed while removing a night has left.
func (l Layout) finishRemovals(entries []fs.DirEntry) error {
	for _, e := range entries {
		if removedNight.MatchString(e.Name()) {
			if err := os.RemoveAll(l.join(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// surplus is the nights older than the newest keep that have a model; keep 0 keeps all.
func (l Layout) surplus(nights []Owner, keep int) []Owner {
	if keep == 0 {
		return nil
	}
	models := 0
	for i, o := range nights {
		if _, err := os.Stat(l.Night(o.Night.Name).Metadata()); err == nil {
			models++
		}
		if models == keep {
			return nights[i+1:]
		}
	}
	return nil
}

// removeNight deletes a night that no run works in. Under its own name it is whole or gone: the rest is
// deleted under a hidden name, by a later run if this process is killed.
func (l Layout) removeNight(ctx context.Context, o Owner, byWorkflow string, running Running) error {
	dir := l.Night(o.Night.Name)
	unlock, free, err := disk.TryLock(dir.ownerLock())
	if err != nil {
		return err
	}
	if !free {
		return fmt.Errorf("another run is about to take %s", dir)
	}
	defer unlock()
	if err := dir.ended(ctx, o, byWorkflow, running); err != nil {
		return err
	}
	hidden := l.removed(o.Night.Name)
	if err := os.Rename(string(dir), hidden); err != nil {
		return err
	}
	if err := disk.SyncDir(string(l)); err != nil {
		return err
	}
	return os.RemoveAll(hidden)
}
