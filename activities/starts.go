package activities

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/disk"
)

// starts counts how often work began in the same place: a run whose worker dies, or whose
// disk fails, again and again there must not do so all night.
type starts struct {
	Place   string `json:"place"` // phase, and step or sample
	Starts  int    `json:"starts"`
	Resumes int    `json:"resumes"` // a person's resume begins the count anew
}

const startsName = ".starts.json"

func (j *job) countStart(place string) error {
	now := starts{Place: place, Starts: 1, Resumes: j.run.Resumes}
	var before starts
	err := disk.ReadJSON(j.path(startsName), &before)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log.Warn("the count of starts begins anew", "error", err)
	}
	if err == nil && before.Place == place && before.Resumes == now.Resumes {
		now.Starts += before.Starts
	}
	if now.Starts > patience {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
			"%s began %d times and got no further: the worker dies there (see its log; is memory short?)", place, patience), contract.ErrNoProgress, nil)
	}
	j.starts = now.Starts
	return disk.ReplaceJSON(j.path(startsName), now)
}

// forgetStarts is called by an attempt that leaves in good order.
func (j *job) forgetStarts() { _ = os.Remove(j.path(startsName)) }
