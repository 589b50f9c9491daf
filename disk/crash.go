package disk

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// CrashPoints are the narrow places of the program, by the order in which a run meets them. A
// process kills itself at one if SO8T_CRASH_AT names it; "name:3" means the third time
// it gets there.
var CrashPoints = []string{
	"split.half",                                                   // of the input is read
	"file.written", "file.synced", "file.renamed", "file.replaced", // Replace, before and after each of its steps
	"dir.filled", "dir.synced", "dir.renamed", "dir.replaced", // ReplaceDir
	"checkpoint.temp_created", "checkpoint.half_state", "checkpoint.before_manifest", "checkpoint.half_manifest",
	"checkpoint.before_rename",
	"checkpoint.between_renames", // only where a former save at the same position is replaced
	"checkpoint.after_rename", "checkpoint.after_sync",
	"checkpoint.trash_renamed", "checkpoint.half_removed", // only where something is deleted
	"export.half_merged",
	"evaluate.batch",
	"activity.ends",                     // its work is done, Temporal not yet told
	"temporal.telling", "temporal.told", // the report of an activity's end is on its way; has arrived
	"lease.taken",
}

var (
	crashAt, crashTime = crashPlan(os.Getenv("SO8T_CRASH_AT"))
	crashSeen          atomic.Int64
)

func crashPlan(value string) (point string, time int64) {
	point, count, _ := strings.Cut(value, ":")
	time, _ = strconv.ParseInt(count, 10, 64)
	return point, max(time, 1)
}

// Crash kills the process here if it was asked to. It costs a comparison.
func Crash(point string) {
	if crashAt != point || crashSeen.Add(1) != crashTime {
		return
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {} // the signal is on its way
}
