package telemetry

import (
	"os"
	"strconv"
	"strings"
)

// RSS is this process's resident memory in bytes, now (VmRSS) and at its peak (VmHWM), file mappings
// included. It is 0 where /proc/self/status cannot be read.
func RSS() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kilobytes << 10
		case "VmHWM":
			peak = kilobytes << 10
		}
	}
	return now, peak
}
