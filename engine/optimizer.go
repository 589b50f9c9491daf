package engine

import (
	"fmt"
	"maps"
	"slices"

	"so8t/configs"
	"so8t/engine/safetensors"
	"so8t/native"
)

// optimizer is AdamW over the flat parameters: LoRA with weight decay and 32-bit or 8-bit states; θ without decay and, where
// there is LoRA beside it, with 32-bit states, as it is small and rotations are sensitive.
type optimizer struct {
	options TrainerOptions
	ps      *parameters
	device  *native.Device
	norm    native.Tensor // float32 [1]
	ranges  []optimizerRange
	codes   [2]native.Tensor // float32 [256]: signed and unsigned maps of the 8-bit states
}

type optimizerRange struct {
	name             string
	first, n         int
	decay            float64
	m, v             native.Tensor
	mAbsmax, vAbsmax native.Tensor
}

func newOptimizer(d *native.Device, ps *parameters, o TrainerOptions) (*optimizer, error) {
	opt := &optimizer{options: o, ps: ps, device: d}
	buffers, err := opt.layOut()
	if err != nil {
		return nil, err
	}
	if err := allocate(d, buffers); err != nil {
		return nil, err
	}
	for i, signed := range []bool{true, false} {
		if opt.codes[i].Buffer == 0 {
			continue
		}
		if err := native.Upload(d, opt.codes[i], native.DynamicMap(signed)); err != nil {
			return nil, err
		}
	}
	return opt, nil
}

// layOut makes the ranges and lists the buffers that they need.
func (opt *optimizer) layOut() ([]buffer, error) {
	eight, ok := configs.Optimizers[opt.options.Optim]
	if !ok {
		return nil, fmt.Errorf("optim: %q is not one of %v", opt.options.Optim, slices.Sorted(maps.Keys(configs.Optimizers)))
	}
	buffers := []buffer{{&opt.norm, native.Float32, 1, optimizerPurpose}}
	if eight {
		buffers = append(buffers, buffer{&opt.codes[0], native.Float32, 256, optimizerPurpose}, buffer{&opt.codes[1], native.Float32, 256, optimizerPurpose})
	}
	opt.ranges = []optimizerRange{
		{name: "lora", n: opt.ps.lora, decay: opt.options.WeightDecay},
		{name: "theta", first: opt.ps.lora, n: opt.ps.N - opt.ps.lora},
	}
	opt.ranges = slices.DeleteFunc(opt.ranges, func(r optimizerRange) bool { return r.n == 0 })
	for i := range opt.ranges {
		r, dtype := &opt.ranges[i], native.Float32
		if eight && r.first == 0 {
			dtype = native.UInt8
			blocks := r.n / blockSize
			buffers = append(buffers, buffer{&r.mAbsmax, native.Float32, blocks, optimizerPurpose},
				buffer{&r.vAbsmax, native.Float32, blocks, optimizerPurpose})
		}
		buffers = append(buffers, buffer{&r.m, dtype, r.n, optimizerPurpose}, buffer{&r.v, dtype, r.n, optimizerPurpose})
	}
	return buffers, nil
}

// step updates all parameters; step counts from 1. It returns the norm of the gradient before clipping.
func (opt *optimizer) step(step int, rate float64) (float64, error) {
	o, d := opt.options, opt.device
	d.GlobalNorm(&native.GlobalNorm{N: int64(opt.ps.N), X: opt.ps.grad, Norm: opt.norm})
	for _, r := range opt.ranges {
		d.AdamW(&native.AdamW{N: int64(r.n), Step: int64(step), Param: opt.ps.param.Column(r.first), Gradient: opt.ps.grad.Column(r.first),
			M: r.m, V: r.v, MAbsmax: r.mAbsmax, VAbsmax: r.vAbsmax, MCode: opt.codes[0], VCode: opt.codes[1], Norm: opt.norm,
			LearningRate: rate, Beta1: o.Beta1, Beta2: o.Beta2, Epsilon: o.Epsilon, WeightDecay: r.decay, MaxNorm: o.MaxGradNorm})
	}
	var norm [1]float32
	err := native.Download(d, norm[:], opt.norm)
	return float64(norm[0]), err
}

// tensors lists the parameters and the optimizer's states, in a fixed order.
func (opt *optimizer) tensors() []stateTensor {
	list := []stateTensor{{parametersName, opt.ps.param, opt.ps.N}}
	for _, r := range opt.ranges {
		list = append(list, stateTensor{r.name + ".m", r.m, r.n}, stateTensor{r.name + ".v", r.v, r.n})
		if r.m.DType == native.UInt8 {
			list = append(list, stateTensor{r.name + ".m_absmax", r.mAbsmax, r.n / blockSize}, stateTensor{r.name + ".v_absmax", r.vAbsmax, r.n / blockSize})
		}
	}
	return list
}

// parametersName is the trained parameters' tensor in a checkpoint.
const parametersName = "parameters"

// stateTensor is a flat tensor of a checkpoint.
type stateTensor struct {
	name   string
	tensor native.Tensor
	n      int
}

func (s stateTensor) dtype() string {
	if s.tensor.DType == native.UInt8 {
		return safetensors.U8
	}
	return safetensors.F32
}

func (s stateTensor) bytes() int { return s.n * s.tensor.DType.Size() }
