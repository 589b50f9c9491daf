package activities

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
)

// starts counts how often training began at the same step: a run whose worker dies again
// and again in one place must not do so all night.
type starts struct {
	Step    int `json:"step"`
	Starts  int `json:"starts"`
	Resumes int `json:"resumes"` // a person's resume begins the count anew
}

const startsName = ".starts.json"

func (j *job) countStart(step, resumes int) error {
	now := starts{Step: step, Starts: 1, Resumes: resumes}
	var before starts
	err := readJSON(j.path(startsName), &before)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log.Warn("the count of starts begins anew", "error", err)
	}
	if err == nil && before.Step == step && before.Resumes == resumes {
		now.Starts += before.Starts
	}
	if now.Starts > patience {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
			"training began %d times at step %d and got no further: the worker dies before the next checkpoint (see its log; is memory short?)",
			patience, step), contract.ErrNoProgress, nil)
	}
	return writeJSON(j.path(startsName), now)
}

// forgetStarts is called by an attempt that leaves in good order.
func (j *job) forgetStarts() { _ = os.Remove(j.path(startsName)) }
