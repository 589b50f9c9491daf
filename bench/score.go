package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"so8t/configs"
	"so8t/device"
	"so8t/disk"
	"so8t/engine"
	adapters "so8t/export/peft"
)

// scoreCommand reads lines {"prompt": [ids], "continuation": [ids]} from the standard input and prints this engine's log-probability
// of each continuation. demo/verify_export.py compares them with those of transformers and PEFT.
type scoreCommand struct {
	Base    string `required:"" help:"Model folder."`
	Adapter string `help:"A run's final_model, for its adapters."`
	Int8    bool   `name:"int8" help:"Hold the base's weights as int8 rows."`
	Float32 bool   `name:"float32" help:"Compute in float32."`
}

// scoreCase is a line of the input.
type scoreCase struct{ Prompt, Continuation []int32 }

// Run prints the log-probabilities.
func (c *scoreCommand) Run(ctx context.Context) error {
	cases, longest, err := readCases(os.Stdin)
	if err != nil {
		return err
	}
	m, err := c.open(ctx, longest)
	if err != nil {
		return err
	}
	defer m.Close()
	out := make([]float64, len(cases))
	for i, x := range cases {
		row, err := m.Score(ctx, [][]int32{x.Prompt}, [][]int32{x.Continuation})
		if err != nil {
			return err
		}
		out[i] = row[0][0]
	}
	return printJSON(map[string]any{"log_probabilities": out})
}

// readCases also gives the longest case, in tokens.
func readCases(r io.Reader) (cases []scoreCase, longest int, err error) {
	longest = 1
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var x scoreCase
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, 0, fmt.Errorf("standard input, line %d: %w", n, err)
		}
		cases, longest = append(cases, x), max(longest, len(x.Prompt)+len(x.Continuation))
	}
	return cases, longest, lines.Err()
}

func (c *scoreCommand) open(ctx context.Context, longest int) (*engine.Model, error) {
	o := engine.Options{BasePath: c.Base, Device: device.Device{Kind: device.CPU}, Float32: c.Float32, Int8: c.Int8, MaxTokens: longest, Seed: 1}
	if c.Adapter == "" {
		return engine.Open(ctx, o)
	}
	var err error
	if o.LoRA, o.Gates, err = adapterOptions(c.Adapter); err != nil {
		return nil, err
	}
	m, err := engine.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return m, adapters.Load(ctx, m, foldersOf(c.Adapter))
}

// foldersOf are the adapters in a run's final_model.
func foldersOf(final string) adapters.Folders {
	return adapters.Folders{LoRA: filepath.Join(final, "adapter"), OFT: filepath.Join(final, "adapter_oft")}
}

// adapterOptions reads rank, alpha and the gates' layers of an exported run; its LoRA is on all projections.
func adapterOptions(final string) (engine.LoRAOptions, engine.GateOptions, error) {
	var lora struct {
		R     int     `json:"r"`
		Alpha float64 `json:"lora_alpha"`
	}
	var oft struct {
		Layers []int `json:"layers_to_transform"`
	}
	if err := disk.ReadJSON(filepath.Join(foldersOf(final).LoRA, "adapter_config.json"), &lora); err != nil {
		return engine.LoRAOptions{}, engine.GateOptions{}, err
	}
	gates := engine.GateOptions{Enabled: true}
	err := disk.ReadJSON(filepath.Join(foldersOf(final).OFT, "adapter_config.json"), &oft)
	switch {
	case os.IsNotExist(err):
		gates.Enabled, err = false, nil
	case err == nil:
		gates.Layers = oft.Layers
	}
	return engine.LoRAOptions{R: lora.R, Alpha: lora.Alpha, TargetModules: configs.Projections}, gates, err
}
