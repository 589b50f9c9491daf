package safetensors

import (
	"fmt"
	"io"
	"math"
)

// Element types, by the names the format gives them.
const (
	BOOL = "BOOL"
	U8   = "U8"
	I8   = "I8"
	I16  = "I16"
	F16  = "F16"
	BF16 = "BF16"
	I32  = "I32"
	F32  = "F32"
	F64  = "F64"
	I64  = "I64"
)

// dtypes in the reference implementation's order, narrow to wide. Files are
// laid out in the opposite order, which aligns every tensor to its element.
var dtypes = map[string]struct{ size, rank int64 }{
	BOOL: {1, 0}, U8: {1, 1}, I8: {1, 2},
	I16: {2, 3}, F16: {2, 4}, BF16: {2, 5},
	I32: {4, 6}, F32: {4, 7},
	F64: {8, 8}, I64: {8, 9},
}

// ElementBytes is the size of one element of dtype; 0 if there is no such type.
func ElementBytes(dtype string) int64 { return dtypes[dtype].size }

// Spec is a tensor's entry in the header, without its offsets.
type Spec struct {
	Name  string
	DType string
	Shape []int64 // empty: a scalar
}

// Tensor is a tensor's type, shape and little-endian elements, last dimension fastest.
type Tensor struct {
	DType string
	Shape []int64
	Data  []byte
}

// Named is a Tensor with its name. Its elements may be in From instead of Data; they are then read when a file is written.
type Named struct {
	Name string
	Tensor
	From io.ReaderAt
}

// Load returns the tensor's elements from Data or From.
func (n Named) Load() ([]byte, error) {
	if n.From == nil {
		return n.Data, nil
	}
	size, err := n.Spec().Bytes()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if read, err := n.From.ReadAt(data, 0); read < len(data) {
		return nil, fmt.Errorf("tensor %q: %w", n.Name, err)
	}
	return data, nil
}

// Spec is the header's view of n.
func (n Named) Spec() Spec { return Spec{n.Name, n.DType, n.Shape} }

// Elements is the product of the shape.
func (s Spec) Elements() (int64, error) {
	n := int64(1)
	for _, d := range s.Shape {
		if d < 0 {
			return 0, fmt.Errorf("tensor %q: shape %v has a negative dimension", s.Name, s.Shape)
		}
		if d > 0 && n > math.MaxInt64/d {
			return 0, fmt.Errorf("tensor %q: shape %v overflows", s.Name, s.Shape)
		}
		n *= d
	}
	return n, nil
}

// Bytes is the size of the tensor's data.
func (s Spec) Bytes() (int64, error) {
	size := ElementBytes(s.DType)
	if size == 0 {
		return 0, fmt.Errorf("tensor %q: element type %q is not supported", s.Name, s.DType)
	}
	n, err := s.Elements()
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64/size {
		return 0, fmt.Errorf("tensor %q: shape %v overflows", s.Name, s.Shape)
	}
	return n * size, nil
}
