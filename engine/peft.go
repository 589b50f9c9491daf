package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"so8t/disk"
	"so8t/engine/phi3"
	"so8t/engine/safetensors"
	"so8t/native"
)

// Names of the folders that a run exports, below final_model.
const (
	AdapterDir    = "adapter"
	AdapterOFTDir = "adapter_oft"
	MergedDir     = "merged"
)

// loraConfig is PEFT's adapter_config.json of a LoRA adapter, as far as it differs from the defaults. Of a
// fused weight, the slices' A are stacked and their B block-diagonal: one adapter of n·r with alpha n·alpha,
// which PEFT computes as the same function.
type loraConfig struct {
	PeftType            string             `json:"peft_type"`
	TaskType            string             `json:"task_type"`
	BaseModelNameOrPath string             `json:"base_model_name_or_path"`
	R                   int                `json:"r"`
	LoraAlpha           float64            `json:"lora_alpha"`
	LoraDropout         float64            `json:"lora_dropout"`
	TargetModules       []string           `json:"target_modules"`
	RankPattern         map[string]int     `json:"rank_pattern"`
	AlphaPattern        map[string]float64 `json:"alpha_pattern"`
	Bias                string             `json:"bias"`
	FanInFanOut         bool               `json:"fan_in_fan_out"`
	InferenceMode       bool               `json:"inference_mode"`
	InitLoraWeights     bool               `json:"init_lora_weights"`
	UseRSLoRA           bool               `json:"use_rslora"`
	UseDoRA             bool               `json:"use_dora"`
}

// oftConfig is PEFT's adapter_config.json of the gates: orthogonal fine-tuning with blocks of eight.
type oftConfig struct {
	PeftType            string   `json:"peft_type"`
	TaskType            string   `json:"task_type"`
	BaseModelNameOrPath string   `json:"base_model_name_or_path"`
	R                   int      `json:"r"`
	OFTBlockSize        int      `json:"oft_block_size"`
	ModuleDropout       float64  `json:"module_dropout"`
	TargetModules       []string `json:"target_modules"`
	LayersToTransform   []int    `json:"layers_to_transform,omitempty"`
	LayersPattern       string   `json:"layers_pattern,omitempty"`
	Bias                string   `json:"bias"`
	BlockShare          bool     `json:"block_share"`
	COFT                bool     `json:"coft"`
	UseCayleyNeumann    bool     `json:"use_cayley_neumann"`
	FanInFanOut         bool     `json:"fan_in_fan_out"`
	InferenceMode       bool     `json:"inference_mode"`
	InitWeights         bool     `json:"init_weights"`
}

func peftName(layer int, l *phi3.Linear, part string) string {
	return fmt.Sprintf("base_model.model.model.layers.%d.%s.%s.weight", layer, l.Name, part)
}

// SaveAdapter writes, as long as lease holds, the trained parameters below dir as PEFT reads them: dir/adapter (LoRA) and, where gates
// are on, dir/adapter_oft. Loaded in this order into a PeftMixedModel they compute (W + s·B·A)·R·x.
func (m *Model) SaveAdapter(ctx context.Context, lease *disk.Lease, dir string) error {
	values, err := m.trained(ctx)
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	if err := m.saveLoRA(lease, filepath.Join(dir, AdapterDir), values); err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	if err := m.saveGates(lease, filepath.Join(dir, AdapterOFTDir), values); err != nil {
		return fmt.Errorf("save adapter_oft: %w", err)
	}
	return nil
}

// trained fetches all trained parameters.
func (m *Model) trained(ctx context.Context) ([]float32, error) {
	values := make([]float32, m.params.n)
	err := m.run(ctx, func() error {
		if len(values) == 0 {
			return nil
		}
		return native.Download(m.device, values, m.params.param)
	})
	return values, err
}

func (m *Model) saveLoRA(lease *disk.Lease, dir string, values []float32) error {
	lora := m.options.LoRA
	if len(lora.TargetModules) == 0 {
		return nil
	}
	config := loraConfig{PeftType: "LORA", TaskType: "CAUSAL_LM", BaseModelNameOrPath: m.options.BasePath, R: lora.R, LoraAlpha: lora.Alpha, LoraDropout: lora.Dropout,
		RankPattern: map[string]int{}, AlphaPattern: map[string]float64{}, Bias: "none", InferenceMode: true, InitLoraWeights: true}
	var tensors []safetensors.Named
	for i := range m.phi.Layers {
		for _, l := range m.phi.Layers[i].Linears() {
			if l.LoRA == nil {
				continue
			}
			if module := filepath.Ext(l.Name)[1:]; i == 0 {
				config.TargetModules = append(config.TargetModules, module)
				if n := len(l.LoRA.Slices); n > 1 {
					config.RankPattern[module], config.AlphaPattern[module] = n*lora.R, float64(n)*lora.Alpha
				}
			}
			a := m.params.find(loraName(i, l, "lora_A"))
			tensors = append(tensors, float32Tensor(peftName(i, l, "lora_A"), values[a.offset:a.offset+a.size()], a.shape[0], a.shape[1]),
				float32Tensor(peftName(i, l, "lora_B"), m.fuseB(i, l, values), l.Out, l.LoRA.Columns()))
		}
	}
	return savePEFT(lease, dir, config, tensors)
}

// fuseB lays the slices' B out block-diagonally, [Out, n·r].
func (m *Model) fuseB(layer int, l *phi3.Linear, values []float32) []float32 {
	columns, rank := l.LoRA.Columns(), l.LoRA.Rank
	fused := make([]float32, l.Out*columns)
	for i, s := range l.LoRA.Slices {
		b := m.params.find(loraName(layer, l, "lora_B."+s.Name))
		for row := range s.Rows {
			copy(fused[(s.Begin+row)*columns+i*rank:], values[b.offset+row*rank:b.offset+(row+1)*rank])
		}
	}
	return fused
}

func (m *Model) saveGates(lease *disk.Lease, dir string, values []float32) error {
	config := oftConfig{PeftType: "OFT", TaskType: "CAUSAL_LM", BaseModelNameOrPath: m.options.BasePath, OFTBlockSize: 8, TargetModules: []string{"o_proj"},
		Bias: "none", InferenceMode: true, InitWeights: true}
	layers := gatedLayers(m.phi.Config, m.options.Gates)
	if len(layers) == 0 {
		return nil
	}
	if len(layers) < len(m.phi.Layers) {
		config.LayersToTransform, config.LayersPattern = layers, "layers"
	}
	var tensors []safetensors.Named
	for _, i := range layers {
		theta := m.params.find(thetaName(i))
		half := make([]float32, theta.size()) // PEFT's R = (I + Q)(I − Q)⁻¹ has Q where ours has A/2
		for j := range half {
			half[j] = values[theta.offset+j] / 2
		}
		tensors = append(tensors, float32Tensor(peftName(i, &m.phi.Layers[i].O, "oft_R"), half, theta.shape[0], theta.shape[1]))
	}
	return savePEFT(lease, dir, config, tensors)
}

func savePEFT(lease *disk.Lease, dir string, config any, tensors []safetensors.Named) error {
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return disk.ReplaceDir(lease, dir, func(tmp string) error {
		if err := writeFile(filepath.Join(tmp, "adapter_config.json"), append(text, '\n')); err != nil {
			return err
		}
		return safetensors.WriteFile(filepath.Join(tmp, "adapter_model.safetensors"), tensors, map[string]string{"format": "pt"})
	})
}

func float32Tensor(name string, values []float32, rows, columns int) safetensors.Named {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return safetensors.Named{Name: name, Tensor: safetensors.Tensor{DType: safetensors.F32, Shape: []int64{int64(rows), int64(columns)}, Data: data}}
}

// LoadAdapter replaces the trained parameters by those that SaveAdapter wrote below dir.
func (m *Model) LoadAdapter(ctx context.Context, dir string) error {
	values := make([]float32, m.params.n)
	if len(m.options.LoRA.TargetModules) > 0 {
		if err := m.loadLoRA(filepath.Join(dir, AdapterDir), values); err != nil {
			return fmt.Errorf("load adapter: %w", err)
		}
	}
	if layers := gatedLayers(m.phi.Config, m.options.Gates); len(layers) > 0 {
		if err := m.loadGates(filepath.Join(dir, AdapterOFTDir), layers, values); err != nil {
			return fmt.Errorf("load adapter_oft: %w", err)
		}
	}
	return m.run(ctx, func() error { return m.params.set(m.phi, values) })
}

func (m *Model) loadLoRA(dir string, values []float32) error {
	var config loraConfig
	file, err := openPEFT(dir, &config)
	if err != nil {
		return err
	}
	defer file.Close()
	lora := m.options.LoRA
	if config.R != lora.R || config.LoraAlpha != lora.Alpha {
		return fmt.Errorf("%s: r %d and lora_alpha %v, but this model was opened with %d and %v", dir, config.R, config.LoraAlpha, lora.R, lora.Alpha)
	}
	for i := range m.phi.Layers {
		for _, l := range m.phi.Layers[i].Linears() {
			if l.LoRA == nil {
				continue
			}
			a := m.params.find(loraName(i, l, "lora_A"))
			if err := readFloat32(file, peftName(i, l, "lora_A"), values[a.offset:], a.shape[0], a.shape[1]); err != nil {
				return err
			}
			columns, rank := l.LoRA.Columns(), l.LoRA.Rank
			fused := make([]float32, l.Out*columns)
			if err := readFloat32(file, peftName(i, l, "lora_B"), fused, l.Out, columns); err != nil {
				return err
			}
			for j, s := range l.LoRA.Slices {
				b := m.params.find(loraName(i, l, "lora_B."+s.Name))
				for row := range s.Rows {
					copy(values[b.offset+row*rank:b.offset+(row+1)*rank], fused[(s.Begin+row)*columns+j*rank:])
				}
			}
		}
	}
	return nil
}

func (m *Model) loadGates(dir string, layers []int, values []float32) error {
	var config oftConfig
	file, err := openPEFT(dir, &config)
	if err != nil {
		return err
	}
	defer file.Close()
	if config.OFTBlockSize != 8 || config.UseCayleyNeumann || config.BlockShare || config.COFT {
		return fmt.Errorf("%s: not gates of this kind (block size 8, exact Cayley transform)", dir)
	}
	for _, i := range layers {
		theta := m.params.find(thetaName(i))
		to := values[theta.offset : theta.offset+theta.size()]
		if err := readFloat32(file, peftName(i, &m.phi.Layers[i].O, "oft_R"), to, theta.shape[0], theta.shape[1]); err != nil {
			return err
		}
		for j := range to {
			to[j] *= 2
		}
	}
	return nil
}

func openPEFT(dir string, config any) (*safetensors.File, error) {
	path := filepath.Join(dir, "adapter_config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return safetensors.Open(filepath.Join(dir, "adapter_model.safetensors"))
}

func readFloat32(f *safetensors.File, name string, into []float32, rows, columns int) error {
	t, ok := f.Tensor(name)
	if !ok {
		return fmt.Errorf("%s: tensor %q is missing", f.Path(), name)
	}
	if t.DType != safetensors.F32 || !slices.Equal(t.Shape, []int64{int64(rows), int64(columns)}) {
		return fmt.Errorf("%s: tensor %q is %s %v, not F32 [%d %d]", f.Path(), name, t.DType, t.Shape, rows, columns)
	}
	for i := range rows * columns {
		into[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return nil
}
