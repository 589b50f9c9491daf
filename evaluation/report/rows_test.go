package report

import (
	"strings"
	"testing"
	"time"

	"so8t/evaluation"
	"so8t/version"
)

func TestEvaluatedNamesTheVersions(t *testing.T) {
	current, unversioned := version.Current().String(), version.Unversioned.String()
	for want, versions := range map[string][]version.Version{
		"; by " + current:                         {version.Current()},
		"; by " + unversioned + " and " + current: {version.Unversioned, version.Current()},
	} {
		row := evaluated(evaluation.Times{StartedAt: time.Now(), FinishedAt: time.Now(), Versions: versions}, evaluation.Figures{})
		if !strings.HasSuffix(row, want) {
			t.Errorf("%q does not end in %q", row, want)
		}
	}
}
