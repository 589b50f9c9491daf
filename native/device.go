package native

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"so8t/device"
)

// Options choose a device.
type Options struct {
	Device     device.Device
	Threads    int    // of the CPU library; 0: the CPUs this process may use
	Algorithms string // path of the file of algorithms for a GPU's products, read and appended to; empty: no file
}

// Device is a context of a compute library.
type Device struct {
	library *library
	context uintptr
	err     error
}

// Info describes a device and the memory held on it.
type Info struct {
	Name        string // CPU or GPU model
	ISA         string // instruction sets in use, for example avx512_bf16 or sm_90a
	Library     string // path of the shared library
	Threads     int
	MemoryBytes uint64 // of the device
	FreeBytes   uint64 // of it, allocated by no process
	HeldBytes   uint64 // allocated now
	PeakBytes   uint64 // the most allocated at once
}

// Resolve returns the device that Auto stands for on this host, and any other device as it is.
func Resolve(d device.Device) device.Device {
	if d.Kind != "" && d.Kind != device.Auto {
		return d
	}
	if n, err := GPUs(); n > 0 || err != nil {
		return device.Device{Kind: device.CUDA}
	}
	return device.Device{Kind: device.CPU}
}

// GPUs returns the number of GPUs that this process sees: 0 without a CUDA library, an error if its driver fails.
func GPUs() (int, error) {
	if !found(device.CUDA) {
		return 0, nil
	}
	l, err := openLibrary(device.CUDA)
	if err != nil {
		return 0, err
	}
	n := new(int32)
	code, _, _ := purego.SyscallN(l.deviceCount, uintptr(unsafe.Pointer(n)))
	switch kind := kindOf(code); {
	case int32(code) == codeOK:
		return int(*n), nil
	case kind == ErrNoDevice:
		return 0, nil
	default:
		return 0, failed(kind, "count the GPUs: error code %d", int32(code))
	}
}

// Open opens a device. auto takes the CPU where there is no CUDA library or no GPU. A GPU that cannot be used is an error:
// training would otherwise be slow on the CPU without anything telling why.
func Open(o Options) (*Device, error) {
	o.Device = Resolve(o.Device)
	l, err := openLibrary(o.Device.Kind)
	if err != nil {
		return nil, err
	}
	p := &openParams{threads: int64(o.Threads), device: int64(o.Device.Ordinal)}
	if len(o.Algorithms) >= len(p.algorithms) {
		return nil, failed(ErrArgument, "open device %s: the path of its algorithms is longer than %d bytes: %s", o.Device, len(p.algorithms)-1, o.Algorithms)
	}
	copy(p.algorithms[:], o.Algorithms)
	d := &Device{library: l}
	context := new(uintptr)
	code, _, _ := purego.SyscallN(l.open, uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(context)))
	d.context = *context
	if int32(code) != codeOK {
		text := "no memory for a context"
		if d.context != 0 {
			text = d.lastError()
		}
		return nil, errors.Join(failed(kindOf(code), "open device %s: %s", o.Device, text), d.Close())
	}
	return d, nil
}

type openParams struct {
	threads, device int64
	algorithms      [512]byte
}

// Close frees the device's memory. Closing twice is harmless.
func (d *Device) Close() error {
	if d.context == 0 {
		return nil
	}
	code, _, _ := purego.SyscallN(d.library.close, d.context)
	d.context = 0
	if int32(code) != codeOK {
		return errors.New("close device: failed")
	}
	return nil
}

// Err is the first failure since Open or Reset.
func (d *Device) Err() error { return d.err }

// Reset forgets a failure.
func (d *Device) Reset() { d.err = nil }

func (d *Device) lastError() string {
	text, _, _ := purego.SyscallN(d.library.lastError, d.context)
	return goString(text)
}

// goString copies a C string.
func goString(address uintptr) string {
	if address == 0 {
		return ""
	}
	start := *(*unsafe.Pointer)(unsafe.Pointer(&address)) // C memory: not a Go pointer made from an integer
	n := 0
	for *(*byte)(unsafe.Add(start, n)) != 0 {
		n++
	}
	return strings.Clone(unsafe.String((*byte)(start), n))
}

// call calls a function of the library with p, unless something failed before. The library keeps no pointer.
func call[T any](d *Device, function uintptr, p *T) {
	if d.err != nil {
		return
	}
	if d.context == 0 {
		d.err = errors.New("the device is closed")
		return
	}
	code, _, _ := purego.SyscallN(function, d.context, uintptr(unsafe.Pointer(p)))
	runtime.KeepAlive(p)
	if int32(code) != codeOK {
		d.err = &failure{kindOf(code), d.lastError()}
	}
}

type allocParams struct {
	bytes   uint64
	buffer  uint64
	purpose [32]byte
	onHost  int64
}

// Alloc allocates zeroed memory. purpose is shown by Memory and in errors about memory.
func (d *Device) Alloc(bytes int64, purpose string) (Buffer, error) {
	return d.alloc(bytes, purpose, 0)
}

// AllocOnHost allocates zeroed memory of the host that a GPU reads over its bus: for data that it reads seldom. It is not
// counted in Info.HeldBytes.
func (d *Device) AllocOnHost(bytes int64, purpose string) (Buffer, error) {
	return d.alloc(bytes, purpose, 1)
}

func (d *Device) alloc(bytes int64, purpose string, onHost int64) (Buffer, error) {
	if bytes < 0 {
		return Buffer{}, failed(ErrArgument, "alloc %s: %d bytes", purpose, bytes)
	}
	p := &allocParams{bytes: uint64(bytes), onHost: onHost}
	copy(p.purpose[:len(p.purpose)-1], purpose)
	call(d, d.library.alloc, p)
	if d.err != nil {
		return Buffer{}, d.err
	}
	return Buffer{handle: p.buffer, bytes: bytes}, nil
}

// Free returns a buffer's memory.
func (d *Device) Free(b Buffer) {
	call(d, d.library.free, &struct{ buffer uint64 }{b.handle})
}

// Synchronize waits for all operations.
func (d *Device) Synchronize() error {
	if d.err == nil {
		if code, _, _ := purego.SyscallN(d.library.synchronize, d.context); int32(code) != codeOK {
			d.err = &failure{kindOf(code), d.lastError()}
		}
	}
	return d.err
}

type infoParams struct {
	name                                         [128]byte
	isa                                          [64]byte
	threads                                      int64
	memoryBytes, freeBytes, heldBytes, peakBytes uint64
}

// Info describes the device.
func (d *Device) Info() (Info, error) {
	p := &infoParams{}
	call(d, d.library.deviceInfo, p)
	return Info{Name: text(p.name[:]), ISA: text(p.isa[:]), Library: d.library.path, Threads: int(p.threads),
		MemoryBytes: p.memoryBytes, FreeBytes: p.freeBytes, HeldBytes: p.heldBytes, PeakBytes: p.peakBytes}, d.err
}

// text is a C string in an array.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// Layout is the library's own description of its structs and constants.
func (d *Device) Layout() string {
	address, _, _ := purego.SyscallN(d.library.layout)
	return goString(address)
}

// Use is the memory that was allocated for one purpose.
type Use struct {
	Purpose string
	Held    uint64 // bytes
	Peak    uint64 // bytes, the most at once
}

// Memory lists the memory of the device by purpose, the largest peak first.
func (d *Device) Memory() (uses []Use, err error) {
	if d.context == 0 {
		return nil, errors.New("the device is closed")
	}
	lines, _, _ := purego.SyscallN(d.library.memory, d.context)
	for line := range strings.Lines(goString(lines)) {
		var u Use
		if _, err := fmt.Sscanf(line, "%d %d", &u.Held, &u.Peak); err != nil {
			return nil, fmt.Errorf("memory line %q: %w", line, err)
		}
		_, rest, _ := strings.Cut(line, " ")
		_, purpose, _ := strings.Cut(rest, " ")
		u.Purpose = strings.TrimSuffix(purpose, "\n")
		uses = append(uses, u)
	}
	return uses, nil
}
