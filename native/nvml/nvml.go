// Package nvml reads a GPU's memory, load, power and clocks through NVIDIA's management library, which comes with
// the driver. It is opened at run time, without cgo. Figures that it does not have are absent, and so are all if it is
// missing; nothing fails because of it.
//
// Names, constants and structs are those of nvml.h, as the package nvidia-ml-py declares them.
package nvml

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Sample is one reading. A figure that the GPU does not report is nil.
type Sample struct {
	MemoryUsedBytes          *uint64 // by all processes and the driver
	MemoryTotalBytes         *uint64
	UtilizationPercent       *float64 // share of the last second or less in which any kernel ran
	MemoryUtilizationPercent *float64 // share in which memory was read or written
	PowerWatts               *float64
	SMClockMHz               *float64
	MemoryClockMHz           *float64
	TemperatureCelsius       *float64
}

// Device is a GPU as NVML knows it. Any goroutine may use it.
type Device struct {
	library *library
	handle  uintptr // nvmlDevice_t
	close   sync.Once

	Name   string
	Driver string // version
}

const soname = "libnvidia-ml.so.1"

// Open finds the GPU that CUDA calls by that ordinal in this process.
func Open(ordinal int) (*Device, error) {
	visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	return open(soname, ordinal, visibility{list: visible, set: set, order: os.Getenv("CUDA_DEVICE_ORDER")})
}

func open(path string, ordinal int, v visibility) (*Device, error) {
	l, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("nvml: %w", err)
	}
	if err := l.call("nvmlInit_v2"); err != nil {
		return nil, fmt.Errorf("nvml: %w", err)
	}
	d := &Device{library: l}
	if d.handle, err = l.find(ordinal, v); err != nil {
		d.Close()
		return nil, fmt.Errorf("nvml: device %d: %w", ordinal, err)
	}
	d.Name, _ = l.text("nvmlDeviceGetName", d.handle)
	d.Driver, _ = l.text("nvmlSystemGetDriverVersion")
	return d, nil
}

// Close ends the use of NVML; a Sample after it is empty.
func (d *Device) Close() {
	d.close.Do(func() { _ = d.library.call("nvmlShutdown") })
}

// Values of nvmlClockType_t and nvmlTemperatureSensors_t.
const (
	clockSM        = 1
	clockMemory    = 2
	temperatureGPU = 0
)

// Sample reads the GPU's figures. It takes about a millisecond, for some drivers several.
func (d *Device) Sample() Sample {
	var s Sample
	if memory := read[struct{ total, free, used uint64 }](d, "nvmlDeviceGetMemoryInfo"); memory != nil { // nvmlMemory_t
		s.MemoryTotalBytes, s.MemoryUsedBytes = &memory.total, &memory.used
	}
	if load := read[struct{ gpu, memory uint32 }](d, "nvmlDeviceGetUtilizationRates"); load != nil { // nvmlUtilization_t
		s.UtilizationPercent, s.MemoryUtilizationPercent = figure(&load.gpu, 1), figure(&load.memory, 1)
	}
	s.PowerWatts = figure(read[uint32](d, "nvmlDeviceGetPowerUsage"), 1000) // milliwatts
	s.SMClockMHz = figure(read[uint32](d, "nvmlDeviceGetClockInfo", clockSM), 1)
	s.MemoryClockMHz = figure(read[uint32](d, "nvmlDeviceGetClockInfo", clockMemory), 1)
	s.TemperatureCelsius = figure(read[uint32](d, "nvmlDeviceGetTemperature", temperatureGPU), 1)
	return s
}

func figure(x *uint32, unit float64) *float64 {
	if x == nil {
		return nil
	}
	f := float64(*x) / unit
	return &f
}

// read is what name(device, selectors..., out) writes to out; nil where it is refused.
func read[T any](d *Device, name string, selectors ...uintptr) *T {
	out := new(T)
	var pin runtime.Pinner // C writes through an address that Go sees as a number
	defer pin.Unpin()
	pin.Pin(out)
	args := append([]uintptr{d.handle}, selectors...)
	if d.library.call(name, append(args, uintptr(unsafe.Pointer(out)))...) != nil {
		return nil
	}
	return out
}

// library is NVML in this process. It is never unloaded: the driver keeps threads in it.
type library struct {
	handle    uintptr
	mu        sync.Mutex
	functions map[string]uintptr // by name; 0: this version has none
}

var loaded struct {
	sync.Mutex
	byPath map[string]*library
}

func load(path string) (*library, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if l := loaded.byPath[path]; l != nil {
		return l, nil
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	l := &library{handle: handle, functions: map[string]uintptr{}}
	if loaded.byPath == nil {
		loaded.byPath = map[string]*library{}
	}
	loaded.byPath[path] = l
	return l, nil
}

var errNoFunction = errors.New("this driver's NVML has no such function")

func (l *library) function(name string) uintptr {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, known := l.functions[name]
	if !known {
		address, _ = purego.Dlsym(l.handle, name)
		l.functions[name] = address
	}
	return address
}

// call calls a function that returns an nvmlReturn_t.
//
//go:uintptrescapes
func (l *library) call(name string, args ...uintptr) error {
	address := l.function(name)
	if address == 0 {
		return fmt.Errorf("%s: %w", name, errNoFunction)
	}
	code, _, _ := purego.SyscallN(address, args...)
	if uint32(code) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", name, l.reason(uint32(code)))
}

func (l *library) reason(code uint32) string {
	address := l.function("nvmlErrorString")
	if address == 0 {
		return fmt.Sprintf("error %d", code)
	}
	text, _, _ := purego.SyscallN(address, uintptr(code))
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

// text calls name(device..., buffer, length).
func (l *library) text(name string, device ...uintptr) (string, error) {
	buffer := make([]byte, 96) // NVML_DEVICE_NAME_V2_BUFFER_SIZE, the longest of those asked for
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&buffer[0])
	if err := l.call(name, append(device, uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))...); err != nil {
		return "", err
	}
	s, _, _ := strings.Cut(string(buffer), "\x00")
	return s, nil
}
