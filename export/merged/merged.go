// Package merged writes a Hugging Face model with the adapters folded into the base's own 16-bit weights.
package merged

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"so8t/disk"
	"so8t/engine"
	"so8t/engine/safetensors"
	"so8t/export"
)

// ShardBytes is the most data in one of the model's files.
const ShardBytes = 2 << 30

// Write fills dir, as long as lease holds, with W' = (W + s·B·A)·R for each adapted weight, in the weight's own type, and
// with the base's other tensors, configuration and tokenizer. Mapped pages are released tensor by tensor.
func Write(ctx context.Context, lease *disk.Lease, dir string, b *export.Bundle, m *engine.Merger, shardBytes int64) error {
	err := disk.ReplaceDir(lease, dir, func(tmp string) error {
		if err := copyModelFiles(b.BasePath, tmp); err != nil {
			return err
		}
		return writeWeights(ctx, tmp, b, m, shardBytes)
	})
	if err != nil {
		return fmt.Errorf("write merged model: %w", err)
	}
	return nil
}

func writeWeights(ctx context.Context, dir string, b *export.Bundle, m *engine.Merger, shardBytes int64) (err error) {
	base, err := safetensors.OpenModel(b.BasePath)
	if err != nil {
		return err
	}
	defer base.Close()
	var specs []safetensors.Spec
	for _, name := range base.Names() {
		t, _ := base.Tensor(name)
		specs = append(specs, safetensors.Spec{Name: name, DType: t.DType, Shape: t.Shape})
	}
	adapted := map[string]*engine.AdaptedWeight{}
	for i := range b.Plan.Weights {
		w := &b.Plan.Weights[i]
		adapted[w.TensorName(w.Layer)] = w
	}
	out, err := safetensors.NewShardedWriter(dir, specs, map[string]string{"format": "pt"}, shardBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for i, spec := range out.Order() {
		if i == len(specs)/2 {
			disk.Crash("export.half_merged")
		}
		t, _ := base.Tensor(spec.Name)
		write := func(data []byte) error { return out.Append(spec.Name, data) }
		if w, found := adapted[spec.Name]; !found {
			err = write(t.Data)
		} else if err = m.Merge(ctx, b.Plan, w, b.Trained, t, write); err != nil {
			err = fmt.Errorf("%s: %w", spec.Name, err)
		}
		if err != nil {
			return err
		}
		base.Release(spec.Name)
	}
	return nil
}

// copied are the files that a model folder holds beside its weights: configuration, tokenizer, chat template, code.
var copied = []string{".json", ".jinja", ".model", ".py", ".txt"}

func copyModelFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !slices.Contains(copied, filepath.Ext(name)) || strings.HasSuffix(name, ".index.json") || strings.HasPrefix(name, ".") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, name)) // follows the links of a download cache
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o644) // made durable with the folder
		}
		if err != nil {
			return err
		}
	}
	return nil
}
