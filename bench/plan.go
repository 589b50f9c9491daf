package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"so8t/configs"
	"so8t/engine"
	"so8t/engine/phi3"
)

// planCommand plans the memory of a training run exactly as it will be allocated, on a GPU.
type planCommand struct {
	Shape    string  `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Sequence int     `default:"2048" help:"Tokens of a sample."`
	Batch    int     `default:"1" help:"Samples of a row."`
	Saved    string  `default:"inputs" help:"What is saved for the backward pass: all, attention, inputs, or with --free auto."`
	Expanded string  `name:"keep-expanded" default:"false" enum:"true,false,auto" help:"model.keep_expanded: ${enum}, the last with --free."`
	Free     float64 `help:"GiB that a GPU has free: plan what a run takes there, the library's workspace included."`
	Optim    string  `default:"paged_adamw_8bit" help:"As in the run's YAML."`
	Gates    bool    `default:"true" negatable:"" help:"SO(8) gates in all layers."`
}

// planResult is plan's last line.
type planResult struct {
	Shape    string `json:"shape"`
	Sequence int    `json:"sequence"`
	Batch    int    `json:"batch"`
	Saved    string `json:"saved"`
	Expanded bool   `json:"keep_expanded"`
	Optim    string `json:"optim"`
	Bytes    int64  `json:"bytes"` // without the library's workspace, unless --free is given
}

// Run prints the plan and a planResult.
func (c *planCommand) Run() error {
	dir, err := os.MkdirTemp("", "so8t-plan-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := json.Marshal(shapes[c.Shape].config())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644); err != nil {
		return err
	}
	d, err := c.decide(dir)
	if err != nil {
		return err
	}
	bytes, err := writePlan(os.Stdout, d.Needs)
	if err != nil {
		return err
	}
	return printJSON(planResult{Shape: c.Shape, Sequence: c.Sequence, Batch: c.Batch, Saved: d.Saved, Expanded: d.Expanded, Optim: c.Optim, Bytes: bytes})
}

func (c *planCommand) decide(base string) (engine.Decision, error) {
	o := training{modelFlags: modelFlags{Base: base}, rank: 64, length: c.Sequence, row: c.Sequence * c.Batch, optim: c.Optim,
		int8: true, gates: c.Gates, recompute: true, expanded: configs.Switch(c.Expanded)}.options()
	o.Saved = c.Saved
	if c.Free > 0 {
		return engine.Decide(o, int64(c.Free*(1<<30)))
	}
	if c.Saved == "auto" || c.Expanded == "auto" {
		return engine.Decision{}, errors.New("auto depends on the memory that is free: give it by --free")
	}
	needs, err := engine.Plan(o)
	return engine.Decision{Saved: c.Saved, Expanded: o.KeepExpanded == configs.On, Needs: needs}, err
}

// writePlan writes what a run allocates, by purpose, and returns the sum in bytes.
func writePlan(w io.Writer, needs []phi3.Need) (total int64, err error) {
	line := func(purpose string, bytes int64) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-30s %8.3f GiB\n", purpose, float64(bytes)/(1<<30))
		}
	}
	for _, n := range needs {
		line(n.Purpose, n.Bytes)
		total += n.Bytes
	}
	line("in all", total)
	return total, err
}
