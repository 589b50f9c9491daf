package rundir

import (
	"errors"
	"io/fs"
	"os"

	"so8t/disk"
)

// starts is .starts.json: how often work began in the same place. It bounds how often a worker may die, or
// a disk fail, at the same step during a night.
type starts struct {
	Place   string `json:"place"` // phase, and step or sample
	Starts  int    `json:"starts"`
	Resumes int    `json:"resumes"` // how often a person resumed the run, which resets the count
}

// CountStart returns how often work began in this place without progress, this time included.
func (d *Dir) CountStart(place string, resumes int) (int, error) {
	now := starts{Place: place, Starts: 1, Resumes: resumes}
	err := d.Lease.During(func() error {
		var before starts
		err := disk.ReadJSON(d.starts(), &before)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("the count of starts is reset", "error", err)
		}
		if err == nil && before.Place == place && before.Resumes == resumes {
			now.Starts += before.Starts
		}
		return disk.ReplaceJSON(d.starts(), now)
	})
	return now.Starts, err
}

// ForgetStarts resets the count when an attempt ends in good order. Failing to is harmless: the count only grows.
func (d *Dir) ForgetStarts() {
	_ = d.Lease.During(func() error { return os.Remove(d.starts()) })
}
