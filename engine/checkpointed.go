package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"so8t/engine/checkpoint"
	"so8t/engine/safetensors"
)

// CurveOf is the metrics in a checkpoint.
func CurveOf(s *checkpoint.State) (c Curve, err error) {
	if err := json.Unmarshal(s.Metrics, &c); err != nil {
		return c, fmt.Errorf("checkpoint metrics: %w", err)
	}
	return c, nil
}

// Checkpointed gives the trained parameters in a checkpoint, each as a copy. It looks at no other tensor. The state must
// not be released before the last use.
func (p *AdapterPlan) Checkpointed(s *checkpoint.State) (Values, error) {
	i := slices.IndexFunc(s.Tensors, func(t safetensors.Named) bool { return t.Name == parametersName })
	if i < 0 {
		return nil, fmt.Errorf("tensor %q is missing", parametersName)
	}
	data, err := s.Tensors[i].Load()
	if err != nil {
		return nil, err
	}
	if s.Tensors[i].DType != safetensors.F32 || len(data) != 4*p.N {
		return nil, fmt.Errorf("tensor %q is not F32 [%d], but %s of %d bytes: another base, rank or choice of gates", parametersName, p.N,
			s.Tensors[i].DType, len(data))
	}
	return func(q *Parameter) []float32 {
		values := make([]float32, q.Size())
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*(q.Offset+j):]))
		}
		return values
	}, nil
}
