package native

import (
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Snapshot is a copy of device memory, unchanged by later operations.
type Snapshot struct {
	device   *Device
	snapshot uint64
	bytes    int64
}

type snapshotBeginParams struct {
	buffer, offset, bytes uint64
	snapshot              uint64
}

type snapshotReadParams struct {
	snapshot, offset, bytes uint64
	host                    unsafe.Pointer
	error                   [256]byte
}

// Snapshot copies bytes of a tensor's memory after the operations queued so far. It does not wait for them.
func (d *Device) Snapshot(t Tensor, bytes int64) (*Snapshot, error) {
	p := &snapshotBeginParams{buffer: t.Buffer, offset: t.Offset, bytes: uint64(bytes)}
	call(d, d.library.snapshotBegin, p)
	if d.err != nil {
		return nil, d.err
	}
	return &Snapshot{device: d, snapshot: p.snapshot, bytes: bytes}, nil
}

// Bytes is the snapshot's size.
func (s *Snapshot) Bytes() int64 { return s.bytes }

// ReadAt waits for the copy and reads from it. Any goroutine may call it, until Free.
func (s *Snapshot) ReadAt(b []byte, offset int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&b[0])
	p := &snapshotReadParams{snapshot: s.snapshot, offset: uint64(offset), bytes: uint64(len(b)), host: unsafe.Pointer(&b[0])}
	code, _, _ := purego.SyscallN(s.device.library.snapshotRead, s.device.context, uintptr(unsafe.Pointer(p)))
	runtime.KeepAlive(p)
	if int32(code) != codeOK {
		return 0, &failure{kindOf(code), text(p.error[:])}
	}
	return len(b), nil
}

// Free gives the copy's memory back; on the device's own thread, after the last ReadAt.
func (s *Snapshot) Free() {
	call(s.device, s.device.library.snapshotEnd, &struct{ snapshot uint64 }{s.snapshot})
}
