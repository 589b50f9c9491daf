package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"so8t/configs"
	"so8t/engine"
	exportpeft "so8t/export/peft"
)

// score is `bench score`: lines {"prompt": [ids], "continuation": [ids]} on the standard input, and this engine's log-probability of each
// continuation on the output. demo/verify_export.py compares them with those of transformers and PEFT.
func score(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("score", flag.ContinueOnError)
	base := f.String("base", "", "model folder")
	adapter := f.String("adapter", "", "a run's final_model, for its adapters")
	int8 := f.Bool("int8", false, "int8 rows for the base's weights")
	float32 := f.Bool("float32", false, "compute in float32")
	if err := f.Parse(args); err != nil {
		return err
	}
	var prompts, continuations [][]int32
	longest := 1
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var c struct{ Prompt, Continuation []int32 }
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("standard input, line %d: %w", n, err)
		}
		prompts, continuations = append(prompts, c.Prompt), append(continuations, c.Continuation)
		longest = max(longest, len(c.Prompt)+len(c.Continuation))
	}
	if err := lines.Err(); err != nil {
		return err
	}
	o := engine.Options{BasePath: *base, Device: "cpu", Float32: *float32, Int8: *int8, MaxTokens: longest, Seed: 1}
	if *adapter != "" {
		var err error
		if o.LoRA, o.Gates, err = adapterOptions(*adapter); err != nil {
			return err
		}
	}
	m, err := engine.Open(ctx, o)
	if err != nil {
		return err
	}
	defer m.Close()
	if *adapter != "" {
		if err := exportpeft.Load(ctx, m, exportpeft.Folders{LoRA: filepath.Join(*adapter, adapterDir), OFT: filepath.Join(*adapter, oftDir)}); err != nil {
			return err
		}
	}
	out := make([]float64, len(prompts))
	for i := range prompts {
		row, err := m.Score(ctx, prompts[i:i+1], continuations[i:i+1])
		if err != nil {
			return err
		}
		out[i] = row[0][0]
	}
	return printJSON(map[string]any{"log_probabilities": out})
}

// Folders of an exported run.
const (
	adapterDir = "adapter"
	oftDir     = "adapter_oft"
)

// adapterOptions reads rank, alpha and the gates' layers of an exported run; its LoRA is on all projections.
func adapterOptions(final string) (engine.LoRAOptions, engine.GateOptions, error) {
	var lora struct {
		R     int     `json:"r"`
		Alpha float64 `json:"lora_alpha"`
	}
	var oft struct {
		Layers []int `json:"layers_to_transform"`
	}
	if err := readJSON(filepath.Join(final, adapterDir, "adapter_config.json"), &lora); err != nil {
		return engine.LoRAOptions{}, engine.GateOptions{}, err
	}
	gates := engine.GateOptions{Enabled: true}
	err := readJSON(filepath.Join(final, oftDir, "adapter_config.json"), &oft)
	switch {
	case os.IsNotExist(err):
		gates.Enabled, err = false, nil
	case err == nil:
		gates.Layers = oft.Layers
	}
	return engine.LoRAOptions{R: lora.R, Alpha: lora.Alpha, TargetModules: configs.Projections}, gates, err
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
