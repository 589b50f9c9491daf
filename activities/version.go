package activities

import (
	"fmt"
	"path/filepath"

	"so8t/engine/checkpoint"
	"so8t/version"
)

// noticeOf says that the run goes on in another arithmetic than the one that computed its checkpoint, in the log and
// for the page; empty if it does not.
func (e *epoch) noticeOf(state *checkpoint.State, info checkpoint.Info) string {
	now := version.Current()
	if state == nil || info.Version.SameArithmetic(now) {
		return ""
	}
	e.log.Warn("this worker's arithmetic is another than the checkpoint's",
		"checkpoint", info.Dir, "computed_by", info.Version.String(), "worker", now.String())
	return fmt.Sprintf("the arithmetic has changed: `%s` was computed by %s, this worker is %s; "+
		"the run goes on, but not with the same bits as by one version alone", filepath.Base(info.Dir), info.Version, now)
}
