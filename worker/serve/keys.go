package serve

import (
	"fmt"
	"os"

	"so8t/serve/api"
)

// Keys holds the commands below worker keys.
type Keys struct {
	New NewKey `cmd:"" help:"Make an API key: the key on standard output, its line for serve.keys_file on standard error or in a file."`
}

// NewKey makes one API key.
type NewKey struct {
	Name string `arg:"" help:"Whose key it is; it stands in the audit log and in metrics."`
	File string `placeholder:"FILE" help:"Append the line to this file, serve.keys_file of a server; it reads the file again on SIGHUP."`
}

// Run prints the key once; nobody stores it.
func (c *NewKey) Run() error {
	key, line, err := api.GenerateKey(c.Name)
	if err != nil {
		return err
	}
	if c.File == "" {
		fmt.Fprintln(os.Stderr, line)
	} else if err := appendLine(c.File, line); err != nil {
		return fmt.Errorf("append the key's line: %w", err)
	}
	fmt.Println(key)
	return nil
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
