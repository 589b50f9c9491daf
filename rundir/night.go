package rundir

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

	"so8t/contract"
	"so8t/disk"
)

// The nights of one configuration share its output_dir:
//
//	<output_dir>/2026-11-25T0200/      everything that night's run writes
//	<output_dir>/final_model/current   link to ../2026-11-25T0200/final_model/merged, the last one promoted
//
// A night is recognised by its run.json, which holds its series and its name. A copy under another name, or a
// user's own folder, is not a night.

const nightTime = "2006-01-02T1504" // layout of a night's name

var nightName = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d{4}(-\d+)?$`)

// TakeNight gives the run a directory of its own below run.OutputDir, named after the time at in its time
// zone: the one it took before, or a new one. The errors are those of Take.
func TakeNight(ctx context.Context, run contract.Run, at time.Time, s contract.Series, running Running) (contract.Run, error) {
	if strings.Contains(run.Config.OutputDir, WorkflowIDMark) {
		return run, dirError("output_dir %s: nightly runs have a dated directory each; leave %s out", run.Config.OutputDir, WorkflowIDMark)
	}
	root := Layout(run.OutputDir)
	if err := disk.MakeDir(string(root)); err != nil {
		return run, dirError("output_dir: %w", err)
	}
	unlock, err := root.lockNights(ctx)
	if err != nil {
		return run, err
	}
	defer unlock()
	dated := at.Format(nightTime)
	name := dated
	for n := 2; ; n++ {
		available, err := root.Night(name).availableTo(run.WorkflowID)
		if err != nil {
			return run, dirError("output_dir: %w", err)
		}
		if available {
			break
		}
		name = fmt.Sprintf("%s-%d", dated, n)
	}
	run.OutputDir = string(root.Night(name))
	run.Night = &contract.Night{Root: string(root), Name: name, Series: s, At: at.UTC()}
	return Take(ctx, run, running)
}

// availableTo reports whether a night's directory belongs to the workflow already, or to nobody.
func (l Layout) availableTo(workflowID string) (bool, error) {
	before, err := l.readOwner()
	if err == nil {
		return before.WorkflowID == workflowID, nil
	}
	var io *fs.PathError
	switch {
	case !errors.As(err, &io), errors.Is(err, syscall.ENOTDIR): // a damaged run.json, or not a directory
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	entries, err := os.ReadDir(string(l))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	// A claim that was killed leaves hidden files at most.
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }), err
}

// lockNights keeps others from taking a night's directory, moving current, or removing old nights.
func (l Layout) lockNights(ctx context.Context) (unlock func(), err error) {
	unlock, err = disk.Lock(ctx, l.nightsLock())
	if err != nil {
		return nil, dirError("output_dir: lock: %w", err)
	}
	return unlock, nil
}

// nightsOf lists a series' nights among entries, newest first.
func (l Layout) nightsOf(entries []fs.DirEntry, s contract.Series) (nights []Owner) {
	for _, e := range entries {
		if !e.IsDir() || !nightName.MatchString(e.Name()) {
			continue
		}
		o, err := l.Night(e.Name()).readOwner()
		if err == nil && o.Night != nil && o.Night.Name == e.Name() && o.Night.Series == s {
			nights = append(nights, o)
		}
	}
	slices.SortFunc(nights, func(a, b Owner) int {
		if order := b.Night.At.Compare(a.Night.At); order != 0 {
			return order
		}
		return b.Since.Compare(a.Since)
	})
	return nights
}

// currentNights names the nights that final_model/current leads to: by its text, and where it ends.
func (l Layout) currentNights() (names []string, err error) {
	link := l.Current()
	target, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	names = append(names, firstBelow(string(l), target))
	end, err := filepath.EvalSymlinks(link)
	if errors.Is(err, fs.ErrNotExist) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(string(l))
	if err != nil {
		return nil, err
	}
	return append(names, firstBelow(root, end)), nil
}

// firstBelow is the first element of path below root.
func firstBelow(root, path string) string {
	rest, err := filepath.Rel(root, path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(rest, string(filepath.Separator))
	return first
}
