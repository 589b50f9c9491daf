package serve

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const traceback = "GOTRACEBACK"

// Harden keeps what the process thinks in its memory: no core is dumped, other processes of the user cannot read its
// memory, files are made for the owner alone, and a crash of Go's runtime prints no stacks. It does not keep memory from
// being swapped out or stored by hibernation.
//
// Go's runtime prints the stacks of a crash, with arguments, unless its environment forbids that from the start: so the
// program is executed anew, in the same process.
func Harden() error {
	if os.Getenv(traceback) != "none" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program: %w", err)
		}
		if err := os.Setenv(traceback, "none"); err != nil {
			return err
		}
		return unix.Exec(self, os.Args, os.Environ())
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
