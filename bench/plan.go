package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"so8t/configs"
	"so8t/engine"
)

// planCommand plans the memory of a training run exactly as it will be allocated, on a GPU.
type planCommand struct {
	Shape    string `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Sequence int    `default:"2048" help:"Tokens of a sample."`
	Batch    int    `default:"1" help:"Samples of a row."`
	Saved    string `default:"inputs" help:"What is saved for the backward pass: all, attention or inputs."`
	Expanded bool   `help:"Keep the expanded weights: model.keep_expanded: true."`
	Optim    string `default:"paged_adamw_8bit" help:"As in the run's YAML."`
	Gates    bool   `default:"true" negatable:"" help:"SO(8) gates in all layers."`
}

// planResult is plan's last line.
type planResult struct {
	Shape    string `json:"shape"`
	Sequence int    `json:"sequence"`
	Batch    int    `json:"batch"`
	Saved    string `json:"saved"`
	Expanded bool   `json:"keep_expanded"`
	Optim    string `json:"optim"`
	Bytes    int64  `json:"bytes"` // without the library's workspace
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
	o := training{base: dir, rank: 64, length: c.Sequence, row: c.Sequence * c.Batch, optim: c.Optim, int8: true, gates: c.Gates, recompute: true}.options()
	if o.Saved = c.Saved; c.Expanded {
		o.KeepExpanded = configs.On
	}
	bytes, err := writePlan(os.Stdout, o)
	if err != nil {
		return err
	}
	return printJSON(planResult{Shape: c.Shape, Sequence: c.Sequence, Batch: c.Batch, Saved: c.Saved, Expanded: c.Expanded, Optim: c.Optim, Bytes: bytes})
}

// writePlan writes the memory that a run under o allocates, by purpose, and returns its sum in bytes.
func writePlan(w io.Writer, o engine.Options) (total int64, err error) {
	needs, err := engine.Plan(o)
	if err != nil {
		return 0, err
	}
	line := func(purpose string, bytes int64) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-24s %8.3f GiB\n", purpose, float64(bytes)/(1<<30))
		}
	}
	for _, n := range needs {
		line(n.Purpose, n.Bytes)
		total += n.Bytes
	}
	line("in all", total)
	return total, err
}
