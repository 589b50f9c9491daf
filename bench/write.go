package main

import (
	"cmp"
	"context"
	"time"
)

// writeCommand writes a model folder with random weights.
type writeCommand struct {
	Shape     string `default:"100m" enum:"${shapes}" help:"${enum}"`
	Layers    int    `help:"Instead of the shape's; 0: as many as it has."`
	Out       string `required:"" help:"Folder to write."`
	Tokenizer string `help:"Folder whose tokenizer files are copied along."`
}

// Run prints the folder and its bytes.
func (c *writeCommand) Run(ctx context.Context) error {
	start := time.Now()
	s := shapes[c.Shape]
	s.Layers = cmp.Or(c.Layers, s.Layers)
	bytes, err := writeModel(ctx, c.Out, s, c.Tokenizer, 1)
	if err != nil {
		return err
	}
	return printJSON(map[string]any{"folder": c.Out, "bytes": bytes, "seconds": time.Since(start).Seconds()})
}
