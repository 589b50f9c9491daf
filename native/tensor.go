// Package native binds the compute libraries behind include/so8t.h: libso8t_cpu.so and libso8t_cuda.so,
// opened at run time without cgo. A Device owns a context of one of them.
//
// Operations queue in order and return nothing: the first failure stays in the Device, as in a bufio.Writer,
// and the operations after it do nothing. Err returns it; downloads and allocations return it too.
//
// One goroutine at a time may use a Device, and it should stay on one operating-system thread
// (runtime.LockOSThread), to which a GPU's current device belongs.
package native

import "fmt"

// DType is the type of a tensor's elements.
type DType int32

const (
	Float32  DType = 1
	BFloat16 DType = 2
	Int8     DType = 3
	Int32    DType = 4
	UInt8    DType = 5
	Float16  DType = 6
)

// Size is the size of an element in bytes.
func (d DType) Size() int {
	switch d {
	case Float32, Int32:
		return 4
	case BFloat16, Float16:
		return 2
	case Int8, UInt8:
		return 1
	}
	return 0
}

func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case BFloat16:
		return "bfloat16"
	case Int8:
		return "int8"
	case Int32:
		return "int32"
	case UInt8:
		return "uint8"
	case Float16:
		return "float16"
	}
	return fmt.Sprintf("dtype %d", int32(d))
}

// Buffer names memory of a Device. The zero Buffer is none.
type Buffer struct {
	handle uint64
	bytes  int64
}

// Bytes is the buffer's size.
func (b Buffer) Bytes() int64 { return b.bytes }

// Tensor views the buffer from element offset on as rows of stride elements.
func (b Buffer) Tensor(dtype DType, offset, stride int) Tensor {
	return Tensor{Buffer: b.handle, Offset: uint64(offset * dtype.Size()), Stride: int64(stride), DType: dtype}
}

// Tensor is a matrix or vector inside a buffer; an operation's parameters give its rows and columns.
// The zero Tensor is absent. The layout is so8t_tensor's.
type Tensor struct {
	Buffer uint64
	Offset uint64 // bytes
	Stride int64  // elements from row to row
	DType  DType
	_      int32 // reserved, 0
}

// Row is the tensor from row i on.
func (t Tensor) Row(i int) Tensor {
	t.Offset += uint64(int64(i) * t.Stride * int64(t.DType.Size()))
	return t
}

// Column is the tensor from column j on.
func (t Tensor) Column(j int) Tensor {
	t.Offset += uint64(j * t.DType.Size())
	return t
}

// WithStride is the same memory with rows of another width.
func (t Tensor) WithStride(stride int) Tensor {
	t.Stride = int64(stride)
	return t
}
