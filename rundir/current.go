package rundir

import (
	"context"
	"os"
	"path/filepath"

	"so8t/contract"
	"so8t/disk"
)

// Promote points final_model/current at the run's merged model.
func (d *Dir) Promote() (link string, err error) {
	link = d.Current()
	return link, d.Lease.During(func() error { return replaceLink(link, filepath.Base(d.Merged())) })
}

// PromoteNight points the final_model/current that all nights share at this night's merged model.
func (d *Dir) PromoteNight(ctx context.Context, night contract.Night) (link string, err error) {
	root := Layout(night.Root)
	unlock, err := root.lockNights(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	link = root.Current()
	return link, d.Lease.During(func() error {
		return replaceLink(link, filepath.Join("..", Layout(night.Name).Merged()))
	})
}

// replaceLink makes link lead to target, durably. A reader of the link sees the old target or the new one,
// and never none.
func replaceLink(link, target string) error {
	dir, name := filepath.Split(link)
	if err := disk.MakeDir(filepath.Clean(dir)); err != nil {
		return err
	}
	fresh := filepath.Join(dir, "."+name+"-new")
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	if err := disk.SyncDir(dir); err != nil { // the new link must be on disk before it replaces the old one
		return err
	}
	if err := os.Rename(fresh, link); err != nil {
		return err
	}
	return disk.SyncDir(dir)
}
