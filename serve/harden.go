package serve

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps what the process thinks in its memory: no core is dumped, other processes of the user cannot read its
// memory, and files are made for the owner alone. A crash of Go's runtime still prints stacks, which hold addresses and
// numbers. Memory may still be swapped out, or stored by hibernation.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
