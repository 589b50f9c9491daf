package checkpoint

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// CrashPoints are the narrow places of a save, in their order. The process
// kills itself at one if SO8T_CRASH_AT names it; "name:3" means the third time
// it gets there.
var CrashPoints = []string{
	"checkpoint.temp_created",
	"checkpoint.half_state",
	"checkpoint.before_manifest",
	"checkpoint.half_manifest",
	"checkpoint.before_rename",
	"checkpoint.between_renames", // only where a former save at the same position is replaced
	"checkpoint.after_rename",
	"checkpoint.after_sync",
	"checkpoint.trash_renamed", // from here on only where something is deleted
	"checkpoint.half_removed",
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

func crash(point string) {
	if crashAt != point || crashSeen.Add(1) != crashTime {
		return
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	select {} // the signal is on its way
}

// halfway passes writes on and comes to a crash point once left bytes went through.
type halfway struct {
	w    io.Writer
	left int64
}

func (h *halfway) Write(p []byte) (int, error) {
	before := h.left
	if h.left -= int64(len(p)); before > 0 && h.left <= 0 {
		crash("checkpoint.half_state")
	}
	return h.w.Write(p)
}
