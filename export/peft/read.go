package peft

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"so8t/disk"
	"so8t/engine"
	"so8t/engine/safetensors"
)

// Load replaces a model's trained parameters by those in the folders.
func Load(ctx context.Context, m *engine.Model, from Folders) error {
	values, err := Read(from, m.Adapter())
	if err != nil {
		return err
	}
	return m.SetParameters(ctx, values)
}

// Read gives the trained numbers that Write put into the folders, [p.N] as the plan lays them out.
func Read(from Folders, p *engine.AdapterPlan) ([]float32, error) {
	values := make([]float32, p.N)
	if len(p.LoRA.TargetModules) > 0 {
		if err := readLoRA(from.LoRA, p, engine.Flat(values)); err != nil {
			return nil, fmt.Errorf("load LoRA: %w", err)
		}
	}
	if len(p.Gated) > 0 {
		if err := readGates(from.OFT, p, engine.Flat(values)); err != nil {
			return nil, fmt.Errorf("load OFT: %w", err)
		}
	}
	return values, nil
}

// readLoRA fills the parts of the flat buffer that belong to LoRA.
func readLoRA(dir string, p *engine.AdapterPlan, part engine.Values) error {
	var config loraConfig
	file, err := open(dir, &config)
	if err != nil {
		return err
	}
	defer file.Close()
	if config.R != p.LoRA.R || config.LoraAlpha != p.LoRA.Alpha {
		return fmt.Errorf("%s: r %d and lora_alpha %v, but this model was opened with %d and %v", dir, config.R, config.LoraAlpha, p.LoRA.R, p.LoRA.Alpha)
	}
	r := p.LoRA.R
	for i := range p.Weights {
		w := &p.Weights[i]
		if w.A == nil {
			continue
		}
		if err := readFloat32(file, tensorName(w, "lora_A"), part(w.A), w.A.Rows, w.A.Columns); err != nil {
			return err
		}
		columns := len(w.Slices) * r
		fused := make([]float32, w.Out*columns)
		if err := readFloat32(file, tensorName(w, "lora_B"), fused, w.Out, columns); err != nil {
			return err
		}
		for j, s := range w.Slices {
			b := part(s.B)
			for row := range s.Rows {
				copy(b[row*r:(row+1)*r], fused[(s.Begin+row)*columns+j*r:])
			}
		}
	}
	return nil
}

// readGates fills the parts of the flat buffer that hold θ.
func readGates(dir string, p *engine.AdapterPlan, part engine.Values) error {
	var config oftConfig
	file, err := open(dir, &config)
	if err != nil {
		return err
	}
	defer file.Close()
	if config.OFTBlockSize != 8 || config.UseCayleyNeumann || config.BlockShare || config.COFT {
		return fmt.Errorf("%s: not gates of this kind (block size 8, exact Cayley transform)", dir)
	}
	for i := range p.Weights {
		w := &p.Weights[i]
		if w.Theta == nil {
			continue
		}
		theta := part(w.Theta)
		if err := readFloat32(file, tensorName(w, "oft_R"), theta, w.Theta.Rows, w.Theta.Columns); err != nil {
			return err
		}
		for j := range theta {
			theta[j] *= 2
		}
	}
	return nil
}

func open(dir string, config any) (*safetensors.File, error) {
	if err := disk.ReadJSON(filepath.Join(dir, configName), config); err != nil {
		return nil, err
	}
	return safetensors.Open(filepath.Join(dir, weightsName))
}

func readFloat32(f *safetensors.File, name string, into []float32, rows, columns int) error {
	t, ok := f.Tensor(name)
	if !ok {
		return fmt.Errorf("%s: tensor %q is missing", f.Path(), name)
	}
	if t.DType != safetensors.F32 || !slices.Equal(t.Shape, []int64{int64(rows), int64(columns)}) {
		return fmt.Errorf("%s: tensor %q is %s %v, not F32 [%d %d]", f.Path(), name, t.DType, t.Shape, rows, columns)
	}
	for i := range into {
		into[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return nil
}
