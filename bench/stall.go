package main

import (
	"context"
	"fmt"
	"path/filepath"

	"so8t/engine/checkpoint"
)

// stallCommand saves LoRA with a float32 AdamW behind the training of a given model.
type stallCommand struct {
	modelFlags
	Rank     int    `default:"64" help:"Of LoRA."`
	Sequence int    `default:"2048" help:"Tokens of a step."`
	Steps    int    `default:"20"`
	Every    int    `default:"8" help:"Steps from save to save."`
	Dir      string `help:"Where to save; a temporary folder by default."`
}

// Run prints a saveResult without a large state.
func (c *stallCommand) Run(ctx context.Context) error {
	dir, clean, err := saveFolder(c.Dir)
	if err != nil {
		return err
	}
	defer clean()
	run := training{modelFlags: c.modelFlags, rank: c.Rank, length: c.Sequence, row: c.Sequence, samples: 1,
		optim: "adamw_torch", int8: true}
	r, err := run.measureSaves(ctx, filepath.Join(dir, "stall"), checkpoint.Options{MaxCheckpoints: 1}, c.Steps, c.Every)
	if err != nil {
		return fmt.Errorf("stall: %w", err)
	}
	return printJSON(r)
}
