package promotion

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// available is the memory in bytes that can be used without swapping, and without being killed for it: the machine's, or
// what is left of the process's control group, if that is less.
func available() (int64, error) {
	kilobytes, err := field("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return 0, err
	}
	return min(kilobytes<<10, leftOfGroup("/sys/fs/cgroup")), nil
}

// unlimited is more than any machine has.
const unlimited = 1 << 62

// leftOfGroup is what a control group (version 2) has left, its page cache counted as free. A container sees its own there.
func leftOfGroup(dir string) int64 {
	limit, err := number(dir + "/memory.max") // "max" without a limit, and no such file in the root group
	if err != nil {
		return unlimited
	}
	used, err := number(dir + "/memory.current")
	if err != nil {
		return unlimited
	}
	cached, _ := field(dir+"/memory.stat", "inactive_file")
	return max(0, limit-used+cached)
}

func number(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}

// field reads the number behind a name that begins a line.
func field(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("%s: no %s", path, name))
}
