// Package peft writes what a run trained as PEFT reads it, and reads it back: a LoRA adapter, and the SO(8) gates as
// orthogonal fine-tuning (OFT). Loaded in this order into a PeftMixedModel they compute (W + s·B·A)·R·x.
package peft

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"so8t/disk"
	"so8t/engine"
	"so8t/engine/safetensors"
	"so8t/export"
)

const (
	configName  = "adapter_config.json"
	weightsName = "adapter_model.safetensors"
)

// Folders are where the two adapters are. One that the plan has no part of is neither written nor read.
type Folders struct{ LoRA, OFT string }

// Write fills the folders as long as lease holds. It holds one tensor at a time.
func Write(lease *disk.Lease, to Folders, b *export.Bundle) error {
	if err := writeLoRA(lease, to.LoRA, b); err != nil {
		return fmt.Errorf("write LoRA: %w", err)
	}
	if err := writeGates(lease, to.OFT, b); err != nil {
		return fmt.Errorf("write OFT: %w", err)
	}
	return nil
}

func writeLoRA(lease *disk.Lease, dir string, b *export.Bundle) error {
	lora := b.Plan.LoRA
	if len(lora.TargetModules) == 0 {
		return nil
	}
	config := loraConfig{PeftType: "LORA", TaskType: "CAUSAL_LM", BaseModelNameOrPath: b.BasePath, R: lora.R, LoraAlpha: lora.Alpha,
		LoraDropout: lora.Dropout, RankPattern: map[string]int{}, AlphaPattern: map[string]float64{}, Bias: "none", InferenceMode: true, InitLoraWeights: true}
	var tensors []tensor
	for i := range b.Plan.Weights {
		w := &b.Plan.Weights[i]
		if w.A == nil {
			continue
		}
		n := len(w.Slices)
		if module := filepath.Ext(w.Name)[1:]; w.Layer == 0 {
			config.TargetModules = append(config.TargetModules, module)
			if n > 1 {
				config.RankPattern[module], config.AlphaPattern[module] = n*lora.R, float64(n)*lora.Alpha
			}
		}
		tensors = append(tensors,
			tensor{tensorName(w, "lora_A"), w.A.Rows, w.A.Columns, func() []float32 { return b.Trained(w.A) }},
			tensor{tensorName(w, "lora_B"), w.Out, n * lora.R, func() []float32 { return fuseB(w, lora.R, b.Trained) }})
	}
	return writeAdapter(lease, dir, config, tensors)
}

// fuseB lays the slices' B out block-diagonally, [Out, slices·r].
func fuseB(w *engine.AdaptedWeight, r int, trained engine.Values) []float32 {
	columns := len(w.Slices) * r
	fused := make([]float32, w.Out*columns)
	for i, s := range w.Slices {
		b := trained(s.B)
		for row := range s.Rows {
			copy(fused[(s.Begin+row)*columns+i*r:], b[row*r:(row+1)*r])
		}
	}
	return fused
}

func writeGates(lease *disk.Lease, dir string, b *export.Bundle) error {
	if len(b.Plan.Gated) == 0 {
		return nil
	}
	config := oftConfig{PeftType: "OFT", TaskType: "CAUSAL_LM", BaseModelNameOrPath: b.BasePath, OFTBlockSize: 8,
		TargetModules: []string{"o_proj"}, Bias: "none", InferenceMode: true, InitWeights: true}
	if len(b.Plan.Gated) < b.Plan.Layers {
		config.LayersToTransform, config.LayersPattern = b.Plan.Gated, "layers"
	}
	var tensors []tensor
	for i := range b.Plan.Weights {
		if w := &b.Plan.Weights[i]; w.Theta != nil {
			tensors = append(tensors, tensor{tensorName(w, "oft_R"), w.Theta.Rows, w.Theta.Columns, func() []float32 { return halved(b.Trained(w.Theta)) }})
		}
	}
	return writeAdapter(lease, dir, config, tensors)
}

// halved is θ as PEFT has it: its R = (I + Q)(I − Q)⁻¹ has Q where ours has A/2.
func halved(theta []float32) []float32 {
	half := make([]float32, len(theta))
	for i, x := range theta {
		half[i] = x / 2
	}
	return half
}

func tensorName(w *engine.AdaptedWeight, part string) string {
	return fmt.Sprintf("base_model.model.model.layers.%d.%s.%s.weight", w.Layer, w.Name, part)
}

// tensor is a float32 matrix that is computed when it is written.
type tensor struct {
	name          string
	rows, columns int
	values        func() []float32
}

func writeAdapter(lease *disk.Lease, dir string, config any, tensors []tensor) error {
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return disk.ReplaceDir(lease, dir, func(tmp string) error {
		if err := os.WriteFile(filepath.Join(tmp, configName), append(text, '\n'), 0o644); err != nil { // made durable with the folder
			return err
		}
		return disk.Replace(filepath.Join(tmp, weightsName), func(w io.Writer) error {
			buffer := bufio.NewWriterSize(w, 1<<20)
			if err := writeTensors(buffer, tensors); err != nil {
				return err
			}
			return buffer.Flush()
		})
	})
}

func writeTensors(w io.Writer, tensors []tensor) error {
	specs := make([]safetensors.Spec, len(tensors))
	byName := map[string]tensor{}
	for i, t := range tensors {
		specs[i] = safetensors.Spec{Name: t.name, DType: safetensors.F32, Shape: []int64{int64(t.rows), int64(t.columns)}}
		byName[t.name] = t
	}
	order, err := safetensors.Order(specs)
	if err != nil {
		return err
	}
	out, err := safetensors.NewWriter(w, specs, map[string]string{"format": "pt"})
	if err != nil {
		return err
	}
	var data []byte
	for _, spec := range order {
		data = data[:0]
		for _, v := range byName[spec.Name].values() {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		if err := out.Append(spec.Name, data); err != nil {
			return err
		}
	}
	return out.Finish()
}
