package disk

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// CrashPoints are the places at which a crash is hardest to recover from, in the order in which a run
// passes them. SO8T_CRASH_AT makes a process kill itself at one of them; "name:3" at its third passing.
var CrashPoints = []string{
	"split.half",                                                   // of the input is read
	"split.committed",                                              // the work so far is on disk
	"split.merged",                                                 // the parts are whole, the manifest is not written
	"file.written", "file.synced", "file.renamed", "file.replaced", // Replace, before and after each of its steps
	"dir.filled", "dir.synced", "dir.renamed", "dir.replaced", // ReplaceDir
	"checkpoint.temp_created", "checkpoint.half_state", "checkpoint.before_manifest", "checkpoint.half_manifest",
	"checkpoint.before_rename",
	"checkpoint.between_renames", // only where a former save at the same position is replaced
	"checkpoint.after_rename", "checkpoint.after_sync",
	"checkpoint.trash_renamed", "checkpoint.half_removed", // only where something is deleted
	"export.half_merged",
	"evaluate.batch",
	"activity.ends",                     // its work is done, the server does not know
	"temporal.telling", "temporal.told", // the server is being told; knows
	"lease.taken",
	"audit.written", "audit.synced", // records: written, on disk, not acknowledged
	"audit.rotated",      // the next segment is there and empty
	"audit.recovered",    // only where a former crash left half a record, cut off by now
	"escalation.queued",  // a case is on disk, its answer has not left
	"escalation.started", // its workflow exists, the case is still on disk
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

// Crash kills the process if SO8T_CRASH_AT names this point and passing; otherwise it costs a comparison.
func Crash(point string) {
	if crashAt != point || crashSeen.Add(1) != crashTime {
		return
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {} // until the signal arrives
}
