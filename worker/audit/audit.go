// Package audit is the commands that verify an audit log and prove what is in it.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"so8t/disk"
	"so8t/serve/audit"
)

// Command holds the commands below worker audit.
type Command struct {
	Verify Verify `cmd:"" help:"Recompute every hash of a log and hold it against its checkpoints. Exit status: 0 whole, 1 altered, 2 cut, 3 unreadable."`
	Head   Head   `cmd:"" help:"Print the newest signed checkpoint: keep it elsewhere, for verify --since."`
	Match  Match  `cmd:"" help:"Say whether the thinking on standard input is the one that an answer's record was made of."`
	Erase  Erase  `cmd:"" help:"Forget a user: the records stay, and nobody can tell any more that they are that user's."`
	Keys   Keys   `cmd:"" help:"List the log's keys, or add newer ones."`
}

// Log names the folder of a log.
type Log struct {
	Dir string `default:"audit/log" placeholder:"DIR" help:"Folder of the log: audit.dir of the server (audit/log)."`
}

// Secrets names the folder of a log's keys.
type Secrets struct {
	Keys string `default:"audit/keys" placeholder:"DIR" help:"Folder of the log's keys: audit.keys_dir of the server (audit/keys)."`
}

// Verify prints what a log holds and whether it is whole.
type Verify struct {
	Log
	Secrets
	Key   []string `placeholder:"KEY" help:"Public key that signs the checkpoints, or a file of such keys; without it those in --keys, if they can be read."`
	Since string   `placeholder:"FILE" type:"existingfile" help:"Checkpoint that was kept elsewhere: its record must still be there."`
	JSON  bool     `help:"Print the report as JSON."`
}

// status is an error with an exit status.
type status struct {
	error
	code int
}

// ExitStatus is the exit status of the program.
func (s status) ExitStatus() int { return s.code }

// Run verifies.
func (c *Verify) Run() error {
	unreadable := func(err error) error { return status{err, int(audit.Unreadable)} }
	o := audit.VerifyOptions{}
	var err error
	if o.Keys, err = c.publicKeys(); err != nil {
		return unreadable(err)
	}
	if c.Since != "" {
		if o.Since, err = os.ReadFile(c.Since); err != nil {
			return unreadable(err)
		}
	}
	r := audit.Verify(c.Dir, o)
	if c.JSON {
		err = printJSON(os.Stdout, r)
	} else if r.Outcome != audit.Unreadable {
		err = printReport(os.Stdout, c.Dir, r)
	}
	switch {
	case err != nil:
		return unreadable(err)
	case r.Outcome == audit.Unreadable:
		return unreadable(fmt.Errorf("%s is unreadable: %s", c.Dir, r.Why))
	case r.Outcome != audit.Whole:
		return status{fmt.Errorf("%s is %v: %s: %s", c.Dir, r.Outcome, r.Where, r.Why), int(r.Outcome)}
	}
	return nil
}

// publicKeys returns the keys that were named, else those of the folder of keys if it can be read.
func (c *Verify) publicKeys() (keys []string, err error) {
	for _, key := range c.Key {
		text, err := os.ReadFile(key)
		if errors.Is(err, fs.ErrNotExist) && strings.Count(key, "+") >= 2 {
			keys = append(keys, key)
			continue
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, strings.Fields(string(text))...)
	}
	if len(c.Key) > 0 {
		return keys, nil
	}
	k, err := audit.ReadKeys(c.Secrets.Keys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return k.Public(), nil
}

func printJSON(w io.Writer, r audit.Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func printReport(w io.Writer, dir string, r audit.Report) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(out, name+"\t"+format+"\n", args...) }
	line(dir, "%v", r.Outcome)
	line("records", "%d, the newest is %d; segments: %d", r.Records, r.LastSeq, r.Segments)
	if r.StartsBehind > 0 {
		line("begins", "behind record %d, which a checkpoint signs: older segments were removed", r.StartsBehind)
	}
	if r.Records > 0 {
		line("time", "%s to %s", r.First.Format(time.RFC3339Nano), r.Last.Format(time.RFC3339Nano))
	}
	if r.ClockBack > 0 {
		line("clock", "set back %d times, first at record %d", r.ClockBack, r.FirstClockBack)
	}
	line("answers", "%d", r.Answers)
	if r.Aborted > 0 {
		line("", "%d requests ended before they had one", r.Aborted)
	}
	if r.Unclosed > 0 {
		line("", "%d without their end: killed, or still under way: %s", r.Unclosed, strings.Join(r.UnclosedIDs, " "))
	}
	line("models", "%s", strings.Join(r.Models, " "))
	line("keys", "%s", strings.Join(r.KeyIDs, " "))
	signatures := "signatures verified"
	if !r.SignaturesVerified {
		signatures = "signatures NOT verified: no public key was given"
	}
	line("checkpoints", "%d, %s; %d records behind the newest", r.Checkpoints, signatures, r.Unsigned)
	if r.Torn > 0 || r.TornNote {
		line("unfinished", "%d bytes at the end, being written or torn by a crash; the next start cuts them off", r.Torn)
	}
	return out.Flush()
}

// Head prints the newest checkpoint.
type Head struct{ Log }

// Run prints the note as it was signed.
func (c *Head) Run() error {
	last, err := audit.LastNote(c.Dir)
	if err != nil {
		return err
	}
	_, err = fmt.Print(last.Note)
	return err
}

// Match holds a text against a reasoning hash.
type Match struct {
	Log
	Secrets
	ID   string `required:"" placeholder:"REQUEST" help:"Id of the request: req_…"`
	Hash string `placeholder:"HASH" help:"internal_reasoning_hash of the answer, instead of the record's in the log."`
}

// Run reads the text.
func (c *Match) Run() error {
	hash := c.Hash
	if hash == "" {
		var ok bool
		var err error
		if hash, ok, err = audit.Find(c.Dir, c.ID); err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s has no answer to %s", c.Dir, c.ID)
		}
	}
	keys, err := audit.ReadKeys(c.Secrets.Keys)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	for _, t := range [][]byte{text, bytes.TrimSuffix(text, []byte("\n"))} { // an editor adds a line end
		same, err := keys.Match(hash, c.ID, t)
		if err != nil {
			return err
		}
		if same {
			fmt.Printf("%s: the text is the thinking of this answer (%s)\n", c.ID, hash)
			return nil
		}
	}
	return fmt.Errorf("%s: the text is not the thinking of this answer (%s)", c.ID, hash)
}

// Erase forgets a user.
type Erase struct {
	Log
	Secrets
	User    string `required:"" placeholder:"USER" help:"user_id of the requests."`
	KeyName string `placeholder:"NAME" help:"Name of the API key that the requests came with; empty where the server asks for none."`
}

const erasePatience = 10 * time.Second

// Run leaves the erasure for the server that has the log, and carries it out itself if none has.
func (c *Erase) Run(ctx context.Context) error {
	keys, err := audit.ReadKeys(c.Secrets.Keys)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Dir); err != nil { // Open would begin another log
		return err
	}
	done, err := keys.RequestErasure(c.KeyName, c.User)
	if err != nil {
		return err
	}
	log, err := audit.Open(audit.Options{Dir: c.Dir, Keys: keys})
	var held *disk.HeldError
	switch {
	case err == nil:
		if err := log.Close(); err != nil {
			return err
		}
	case !errors.As(err, &held):
		return err
	}
	for end := time.Now().Add(erasePatience); !done(); time.Sleep(50 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("the request is left in %s, and not carried out yet: %v", c.Secrets.Keys, err)
		}
	}
	fmt.Println("erased: a record in the log says so; answers to this user from now on have another pseudonym")
	return nil
}
