package engine

import (
	"fmt"
	"slices"

	"so8t/engine/safetensors"
	"so8t/native"
)

// Optims maps the names of transformers' OptimizerNames that are implemented to whether LoRA's optimizer
// states are 8-bit. Paging is the CUDA driver's business: the names are accepted and mean the same numbers.
var Optims = map[string]bool{"adamw_torch": false, "adamw_torch_fused": false, "paged_adamw": false, "paged_adamw_32bit": false,
	"adamw_bnb_8bit": true, "adamw_8bit": true, "paged_adamw_8bit": true}

// optimizer is AdamW over the flat parameters: LoRA with weight decay and states of either width, θ without
// decay and in float32, as it is small and every bit of a rotation counts.
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
	eight, ok := Optims[o.Optim]
	if !ok {
		names := make([]string, 0, len(Optims))
		for name := range Optims {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("optim: %q is not one of %v", o.Optim, names)
	}
	opt := &optimizer{options: o, ps: ps, device: d}
	var err error
	if opt.norm, err = opt.alloc(native.Float32, 1); err != nil {
		return nil, err
	}
	if eight {
		for i, signed := range []bool{true, false} {
			if opt.codes[i], err = opt.alloc(native.Float32, 256); err != nil {
				return nil, err
			}
			if err := native.Upload(d, opt.codes[i], native.DynamicMap(signed)); err != nil {
				return nil, err
			}
		}
	}
	opt.ranges = []optimizerRange{{name: "lora", n: ps.lora, decay: o.WeightDecay}, {name: "theta", first: ps.lora, n: ps.n - ps.lora}}
	opt.ranges = slices.DeleteFunc(opt.ranges, func(r optimizerRange) bool { return r.n == 0 })
	for i := range opt.ranges {
		if err := opt.states(&opt.ranges[i], eight && opt.ranges[i].first == 0); err != nil {
			return nil, err
		}
	}
	return opt, nil
}

func (opt *optimizer) alloc(dtype native.DType, n int) (native.Tensor, error) {
	b, err := opt.device.Alloc(int64(n)*int64(dtype.Size()), "optimizer")
	return b.Tensor(dtype, 0, n), err
}

func (opt *optimizer) states(r *optimizerRange, eight bool) (err error) {
	dtype := native.Float32
	if eight {
		dtype = native.UInt8
		for _, a := range []*native.Tensor{&r.mAbsmax, &r.vAbsmax} {
			if *a, err = opt.alloc(native.Float32, r.n/blockOf); err != nil {
				return err
			}
		}
	}
	for _, s := range []*native.Tensor{&r.m, &r.v} {
		if *s, err = opt.alloc(dtype, r.n); err != nil {
			return err
		}
	}
	return nil
}

// step updates all parameters; step counts from 1. It returns the norm of the gradient before clipping.
func (opt *optimizer) step(step int, rate float64) (float64, error) {
	o, d := opt.options, opt.device
	d.GlobalNorm(&native.GlobalNorm{N: int64(opt.ps.n), X: opt.ps.grad, Norm: opt.norm})
	for _, r := range opt.ranges {
		d.AdamW(&native.AdamW{N: int64(r.n), Step: int64(step), Param: opt.ps.param.Column(r.first), Gradient: opt.ps.grad.Column(r.first),
			M: r.m, V: r.v, MAbsmax: r.mAbsmax, VAbsmax: r.vAbsmax, MCode: opt.codes[0], VCode: opt.codes[1], Norm: opt.norm,
			LearningRate: rate, Beta1: o.Beta1, Beta2: o.Beta2, Epsilon: o.Epsilon, WeightDecay: r.decay, MaxNorm: o.MaxGradNorm})
	}
	var norm [1]float32
	err := native.Download(d, norm[:], opt.norm)
	return float64(norm[0]), err
}

// tensors names everything that the optimizer and the parameters hold, in a fixed order.
func (opt *optimizer) tensors() []stateTensor {
	list := []stateTensor{{"parameters", opt.ps.param, opt.ps.n}}
	for _, r := range opt.ranges {
		list = append(list, stateTensor{r.name + ".m", r.m, r.n}, stateTensor{r.name + ".v", r.v, r.n})
		if r.m.DType == native.UInt8 {
			list = append(list, stateTensor{r.name + ".m_absmax", r.mAbsmax, r.n / blockOf}, stateTensor{r.name + ".v_absmax", r.vAbsmax, r.n / blockOf})
		}
	}
	return list
}

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
