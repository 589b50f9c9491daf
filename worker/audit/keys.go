package audit

import (
	"fmt"

	"so8t/serve/audit"
)

// Keys holds the commands below worker audit keys.
type Keys struct {
	List   ListKeys   `cmd:"" help:"Print the ids of the keys that hash, and the public keys that verify checkpoints: give those to auditors."`
	Rotate RotateKeys `cmd:"" help:"Add a newer key. The server uses it from its next start on; the older ones still verify."`
}

// ListKeys prints nothing secret.
type ListKeys struct{ Secrets }

// Run prints the keys, the newest last.
func (c *ListKeys) Run() error {
	keys, err := audit.ReadKeys(c.Secrets.Keys)
	if err != nil {
		return err
	}
	for _, id := range keys.IDs() {
		fmt.Println("hashes  ", id)
	}
	for _, public := range keys.Public() {
		fmt.Println("verifies", public)
	}
	return nil
}

// RotateKeys adds a key.
type RotateKeys struct {
	Secrets
	Signing bool `help:"Add a key that signs checkpoints, instead of one that hashes."`
}

// Run adds the key.
func (c *RotateKeys) Run() error {
	add := audit.RotateHash
	if c.Signing {
		add = audit.RotateSigning
	}
	id, err := add(c.Secrets.Keys)
	if err != nil {
		return err
	}
	fmt.Printf("added %s to %s: the server uses it from its next start on\n", id, c.Secrets.Keys)
	return nil
}
