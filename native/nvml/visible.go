package nvml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"
)

// ErrUnknown: which of NVML's devices CUDA uses cannot be determined.
var ErrUnknown = errors.New("not told apart by NVML")

// visibility is the part of the environment that decides CUDA's numbering of devices, which NVML ignores.
type visibility struct {
	list  string // CUDA_VISIBLE_DEVICES
	set   bool
	order string // CUDA_DEVICE_ORDER
}

// find is the handle of the device that CUDA calls by an ordinal.
func (l *library) find(ordinal int, v visibility) (uintptr, error) {
	devices, err := l.devices()
	if err != nil {
		return 0, err
	}
	var handle uintptr
	if v.set {
		entries := strings.Split(v.list, ",")
		if ordinal >= len(entries) {
			return 0, fmt.Errorf("CUDA_VISIBLE_DEVICES=%s has no such entry", v.list)
		}
		// CUDA takes an entry only if all before it are devices
		for _, entry := range entries[:ordinal+1] {
			if handle, err = l.named(strings.TrimSpace(entry), devices, v.order); err != nil {
				return 0, fmt.Errorf("CUDA_VISIBLE_DEVICES=%s: %w", v.list, err)
			}
		}
	} else if handle, err = l.numbered(ordinal, devices, v.order); err != nil {
		return 0, err
	}
	var current, pending uint32
	if l.call("nvmlDeviceGetMigMode", handle, uintptr(unsafe.Pointer(&current)), uintptr(unsafe.Pointer(&pending))) == nil && current == 1 {
		return 0, fmt.Errorf("%w: the GPU is split into MIG devices, its figures are those of all", ErrUnknown)
	}
	return handle, nil
}

func (l *library) devices() ([]uintptr, error) {
	var n uint32
	if err := l.call("nvmlDeviceGetCount_v2", uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	handles := make([]uintptr, n)
	for i := range handles {
		if err := l.call("nvmlDeviceGetHandleByIndex_v2", uintptr(i), uintptr(unsafe.Pointer(&handles[i]))); err != nil {
			return nil, err
		}
	}
	return handles, nil
}

// named is the device of one entry of CUDA_VISIBLE_DEVICES: an ordinal, or a UUID or its beginning.
func (l *library) named(entry string, devices []uintptr, order string) (uintptr, error) {
	switch {
	case strings.HasPrefix(entry, "MIG-"):
		return 0, fmt.Errorf("%w: %s is a part of a GPU", ErrUnknown, entry)
	case strings.HasPrefix(entry, "GPU-"):
		return l.withUUID(entry, devices)
	}
	i, err := strconv.Atoi(entry)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a number nor a UUID", entry)
	}
	return l.numbered(i, devices, order)
}

func (l *library) withUUID(prefix string, devices []uintptr) (found uintptr, err error) {
	for _, d := range devices {
		uuid, err := l.text("nvmlDeviceGetUUID", d)
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(uuid, prefix) {
			if found != 0 {
				return 0, fmt.Errorf("several devices are called %s…", prefix)
			}
			found = d
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("no device is called %s", prefix)
	}
	return found, nil
}

// numbered is the device of a CUDA ordinal. NVML counts by PCI bus, CUDA by default from the fastest on: on a
// machine whose GPUs differ these are two numberings.
func (l *library) numbered(i int, devices []uintptr, order string) (uintptr, error) {
	if i < 0 || i >= len(devices) {
		return 0, fmt.Errorf("there are %d devices, none has number %d", len(devices), i)
	}
	if order == "PCI_BUS_ID" {
		return devices[i], nil
	}
	first, err := l.text("nvmlDeviceGetName", devices[0])
	if err != nil {
		return 0, err
	}
	for _, d := range devices[1:] {
		if name, err := l.text("nvmlDeviceGetName", d); err != nil || name != first {
			return 0, fmt.Errorf("%w: the GPUs differ, and CUDA's numbers follow their speed; set CUDA_DEVICE_ORDER=PCI_BUS_ID", ErrUnknown)
		}
	}
	return devices[i], nil
}
