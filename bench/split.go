package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/policy"
	"so8t/tokenizer"
)

// splitCommand measures dataset.Split.
type splitCommand struct {
	Tokenizer string  `default:"demo/base" help:"Folder of tokenizer.json."`
	Input     string  `help:"File of records; by default records are generated."`
	Megabytes float64 `default:"100" help:"Of generated records."`
	Threads   []int   `default:"1,2" help:"Each is measured."`
	Rounds    int     `default:"3" help:"Of every measurement, by turns; the table has medians."`
	Dir       string  `help:"Where to write; a temporary folder by default."`
}

// splitResult is one split in a process of its own.
type splitResult struct {
	Threads   int     `json:"threads"`
	Policy    bool    `json:"policy"`
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds"` // user and system, of the whole process
	MB        float64 `json:"mb"`
	PeakBytes int64   `json:"peak_bytes"`
	Samples   int64   `json:"samples"`
	SHA256    string  `json:"sha256"` // over the Arrow files
}

// Run prints a table of splits with each number of threads, without and with the policy.
func (c *splitCommand) Run(ctx context.Context) error {
	host, err := thisMachine()
	if err != nil {
		return err
	}
	dir, clean, err := saveFolder(c.Dir)
	if err != nil {
		return err
	}
	defer clean()
	input := c.Input
	if input == "" {
		input = filepath.Join(dir, "records.jsonl")
		if err := writeRecords(input, int64(c.Megabytes*1e6)); err != nil {
			return err
		}
	}
	table := splitTable{Machine: host}
	for range c.Rounds {
		for _, policy := range []bool{false, true} {
			for _, threads := range c.Threads {
				r, err := c.once(ctx, input, dir, threads, policy)
				if err != nil {
					return err
				}
				table.Results = append(table.Results, r)
			}
		}
	}
	fmt.Print(table)
	return printJSON(table)
}

func (c *splitCommand) once(ctx context.Context, input, dir string, threads int, policy bool) (r splitResult, err error) {
	splits := filepath.Join(dir, "splits")
	if err := os.RemoveAll(splits); err != nil { // else it is taken as it is
		return r, err
	}
	child, err := self("split-once", "--tokenizer", c.Tokenizer, "--input", input, "--dir", splits, "--threads", strconv.Itoa(threads))
	if err != nil {
		return r, err
	}
	if policy {
		child = child.with("--policy")
	}
	child.env = []string{"GOMAXPROCS=" + strconv.Itoa(threads)}
	cpu, err := child.read(ctx, &r)
	r.CPU = cpu.Seconds()
	return r, err
}

// splitOnceCommand is one split: a child of split, so that its peak is its own.
type splitOnceCommand struct {
	Tokenizer string `required:""`
	Input     string `required:""`
	Dir       string `required:""`
	Threads   int    `required:""`
	Policy    bool
	Profile   string `help:"Where to write a processor profile."`
}

// Run prints a splitResult.
func (c *splitOnceCommand) Run(ctx context.Context) error {
	tok, err := tokenizer.Load(c.Tokenizer)
	if err != nil {
		return err
	}
	o := dataset.SplitOptions{Paths: []string{c.Input}, Dir: c.Dir, Tokenizer: tok, MaxSeqLength: 2048, QuadrupleThinking: true,
		Records: record.Options{FourClass: true}, TrainOn: "last", MaxBadFraction: 1, MaxTooLongFraction: 1, Seed: 42, Threads: c.Threads}
	if c.Policy {
		if o.Policy, err = policy.New(policy.Default()); err != nil {
			return err
		}
	}
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	begun := time.Now()
	m, err := dataset.Split(ctx, o)
	if err != nil {
		return err
	}
	r := splitResult{Threads: c.Threads, Policy: c.Policy, Seconds: time.Since(begun).Seconds(), Samples: m.Train.Samples + m.Val.Samples + m.Test.Samples}
	for _, file := range m.Inputs {
		r.MB += float64(file.Size) / 1e6
	}
	if r.PeakBytes, err = statusBytes("VmHWM"); err != nil {
		return err
	}
	if r.SHA256, err = digestOf(c.Dir, "train.arrow", "val.arrow", "test.arrow"); err != nil {
		return err
	}
	return printJSON(r)
}

// digestOf is the SHA-256 of files one after another.
func digestOf(dir string, names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
