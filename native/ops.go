package native

// The parameter structs mirror include/so8t_operations.h field for field; it describes each operation.

// MaxSlices is the largest number of logical projections in a fused weight.
const MaxSlices = 3

type (
	// Dropout is the key of a mask; the zero value drops nothing.
	Dropout struct {
		P                float64
		Seed, Step       uint64
		Layer, Operation uint32
		Sample, Position Tensor
	}
	// LoRASlice is one adapter on rows of a fused weight.
	LoRASlice struct {
		OutBegin, OutRows int64
		B, BGrad          Tensor
	}
	Zero struct {
		Rows, Columns int64
		X             Tensor
	}
	Cast struct {
		Rows, Columns int64
		X, Y          Tensor
	}
	QuantizeRows struct {
		Rows, Columns int64
		X, Q, Absmax  Tensor
	}
	DequantizeRows struct {
		Rows, Columns int64
		Q, Absmax, Y  Tensor
	}
	GatherRows struct {
		Rows, Columns, XRows int64
		Index, X, Y          Tensor
	}
	ScatterRows struct {
		Rows, Columns, YRows int64
		Index, X, Y          Tensor
	}
	LinearForward struct {
		Rows, In, Out int64
		X, W, WAbsmax Tensor
		Expanded, Y   Tensor
		Residual      Tensor
		Rank, Slices  int64
		Z             Tensor
		Slice         [MaxSlices]LoRASlice
	}
	LinearBackward struct {
		Rows, In, Out  int64
		DY, W, WAbsmax Tensor
		Expanded, DX   Tensor
		Columns        int64
		DZ, A          Tensor
		Dropout        Dropout
	}
	LoRADownForward struct {
		Rows, In, Columns int64
		X, A, Z           Tensor
		Scale             float64
		Dropout           Dropout
	}
	LoRAUpBackward struct {
		Rows, Out, Rank, Slices int64
		DY, Z, DZ               Tensor
		Scale                   float64
		Slice                   [MaxSlices]LoRASlice
	}
	LoRADownBackward struct {
		Rows, In, Columns int64
		X, DZ, AGrad      Tensor
		Dropout           Dropout
	}
	RMSNormForward struct {
		Rows, Columns      int64
		X, Weight, Y, RStd Tensor
		Epsilon            float64
	}
	RMSNormBackward struct {
		Rows, Columns    int64
		X, Weight, RStd  Tensor
		DY, Residual, DX Tensor
	}
	Rope struct {
		Rows, Heads, HeadDim, RotaryDim, TableRows int64
		X, Cos, Sin, Index                         Tensor
	}
	AttentionForward struct {
		Rows, Sequences, Heads, KVHeads, HeadDim, Longest, Window int64
		Scale                                                     float64
		Q, K, V, CuSeqlens, Out, LSE                              Tensor
	}
	AttentionBackward struct {
		Rows, Sequences, Heads, KVHeads, HeadDim, Longest, Window int64
		Scale                                                     float64
		Q, K, V, CuSeqlens, Out, LSE                              Tensor
		DOut, DQ, DK, DV                                          Tensor
	}
	KVStore struct {
		Rows, Columns, Slots, Capacity, PageSize, PageCount int64
		K, V, CacheK, CacheV, Pages, Slot, Position         Tensor
	}
	AttentionCached struct {
		Rows, Heads, KVHeads, HeadDim, Window, Slots, Capacity, PageSize, PageCount int64
		Scale                                                                       float64
		Q, CacheK, CacheV, Pages, Slot, Position, Out                               Tensor
	}
	SwiGLUForward struct {
		Rows, Columns int64
		GateUp, Y     Tensor
	}
	SwiGLUBackward struct {
		Rows, Columns       int64
		GateUp, DY, DGateUp Tensor
	}
	CayleyForward struct {
		Blocks          int64
		Theta, Rotation Tensor
	}
	CayleyBackward struct {
		Blocks                             int64
		Theta, Rotation, DRotation, DTheta Tensor
	}
	RotateForward struct {
		Rows, Blocks   int64
		X, Rotation, Y Tensor
	}
	RotateBackward struct {
		Rows, Blocks                   int64
		X, Rotation, DY, DX, DRotation Tensor
	}
	CrossEntropy struct {
		Rows, Columns        int64
		Logits, Target, Loss Tensor
		Scale                float64
	}
	Argmax struct {
		Rows, Columns int64
		X, Index      Tensor
	}
	Sample struct {
		Rows, Columns     int64
		X, U, Index       Tensor
		Temperature, TopP float64
	}
	GlobalNorm struct {
		N       int64
		X, Norm Tensor
	}
	AdamW struct {
		N, Step                                                     int64
		Param, Gradient, M, V, MAbsmax, VAbsmax, MCode, VCode, Norm Tensor
		LearningRate, Beta1, Beta2, Epsilon, WeightDecay, MaxNorm   float64
	}
)

func (d *Device) Zero(p *Zero)                           { call(d, d.library.zero, p) }
func (d *Device) Cast(p *Cast)                           { call(d, d.library.cast, p) }
func (d *Device) QuantizeRows(p *QuantizeRows)           { call(d, d.library.quantizeRows, p) }
func (d *Device) DequantizeRows(p *DequantizeRows)       { call(d, d.library.dequantizeRows, p) }
func (d *Device) GatherRows(p *GatherRows)               { call(d, d.library.gatherRows, p) }
func (d *Device) ScatterRows(p *ScatterRows)             { call(d, d.library.scatterRows, p) }
func (d *Device) LinearForward(p *LinearForward)         { call(d, d.library.linearForward, p) }
func (d *Device) LinearBackward(p *LinearBackward)       { call(d, d.library.linearBackward, p) }
func (d *Device) LoRADownForward(p *LoRADownForward)     { call(d, d.library.loraDownForward, p) }
func (d *Device) LoRAUpBackward(p *LoRAUpBackward)       { call(d, d.library.loraUpBackward, p) }
func (d *Device) LoRADownBackward(p *LoRADownBackward)   { call(d, d.library.loraDownBackward, p) }
func (d *Device) RMSNormForward(p *RMSNormForward)       { call(d, d.library.rmsnormForward, p) }
func (d *Device) RMSNormBackward(p *RMSNormBackward)     { call(d, d.library.rmsnormBackward, p) }
func (d *Device) RopeForward(p *Rope)                    { call(d, d.library.ropeForward, p) }
func (d *Device) RopeBackward(p *Rope)                   { call(d, d.library.ropeBackward, p) }
func (d *Device) AttentionForward(p *AttentionForward)   { call(d, d.library.attentionForward, p) }
func (d *Device) AttentionBackward(p *AttentionBackward) { call(d, d.library.attentionBackward, p) }
func (d *Device) KVStore(p *KVStore)                     { call(d, d.library.kvStore, p) }
func (d *Device) AttentionCached(p *AttentionCached)     { call(d, d.library.attentionCached, p) }
func (d *Device) SwiGLUForward(p *SwiGLUForward)         { call(d, d.library.swigluForward, p) }
func (d *Device) SwiGLUBackward(p *SwiGLUBackward)       { call(d, d.library.swigluBackward, p) }
func (d *Device) CayleyForward(p *CayleyForward)         { call(d, d.library.cayleyForward, p) }
func (d *Device) CayleyBackward(p *CayleyBackward)       { call(d, d.library.cayleyBackward, p) }
func (d *Device) RotateForward(p *RotateForward)         { call(d, d.library.rotateForward, p) }
func (d *Device) RotateBackward(p *RotateBackward)       { call(d, d.library.rotateBackward, p) }
func (d *Device) CrossEntropyForward(p *CrossEntropy)    { call(d, d.library.crossEntropyForward, p) }
func (d *Device) CrossEntropyBackward(p *CrossEntropy)   { call(d, d.library.crossEntropyBackward, p) }
func (d *Device) Argmax(p *Argmax)                       { call(d, d.library.argmax, p) }
func (d *Device) Sample(p *Sample)                       { call(d, d.library.sample, p) }
func (d *Device) GlobalNorm(p *GlobalNorm)               { call(d, d.library.globalNorm, p) }
func (d *Device) AdamW(p *AdamW)                         { call(d, d.library.adamw, p) }
