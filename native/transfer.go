package native

import (
	"runtime"
	"unsafe"
)

// Number is an element of a host slice; its bytes are copied without conversion.
type Number interface {
	~int8 | ~uint8 | ~uint16 | ~int32 | ~float32
}

type transferParams struct {
	buffer, offset, bytes uint64
	host                  unsafe.Pointer
}

// Upload copies values to a tensor's memory, contiguously from its first element.
func Upload[T Number](d *Device, to Tensor, values []T) error {
	return transfer(d, d.library.upload, to, values)
}

// Download fills values from a tensor's memory, contiguously, after all operations before it.
func Download[T Number](d *Device, values []T, from Tensor) error {
	return transfer(d, d.library.download, from, values)
}

func transfer[T Number](d *Device, function uintptr, t Tensor, values []T) error {
	if len(values) == 0 {
		return d.err
	}
	var pin runtime.Pinner // the struct holds a Go pointer while C reads it
	defer pin.Unpin()
	pin.Pin(&values[0])
	call(d, function, &transferParams{buffer: t.Buffer, offset: t.Offset, bytes: uint64(len(values)) * uint64(unsafe.Sizeof(values[0])),
		host: unsafe.Pointer(&values[0])})
	return d.err
}
