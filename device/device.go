// Package device names the compute devices of a host as PyTorch does: cpu, cuda:0, cuda:1.
package device

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Kind is a kind of device. Except for Auto it is the name of the native library that drives the device.
type Kind string

const (
	Auto     Kind = "auto" // a GPU where there is one, else the CPU
	CPU      Kind = "cpu"
	CUDA     Kind = "cuda"
	Emulated Kind = "cuda_emulated" // the CUDA library's sources on the CPU; for tests
)

// Device is one device of a host. The zero value is Auto.
type Device struct {
	Kind    Kind
	Ordinal int // of a GPU, as CUDA counts them
}

// Parse reads auto, cpu, cuda (the first GPU) or cuda:N. Empty text is Auto.
func Parse(text string) (Device, error) {
	kind, ordinal, numbered := strings.Cut(text, ":")
	d := Device{Kind: Kind(kind)}
	switch d.Kind {
	case "":
		d.Kind = Auto
	case Auto, CPU, CUDA, Emulated:
	default:
		return Device{}, invalid(text)
	}
	if !numbered {
		return d, nil
	}
	n, err := strconv.ParseUint(ordinal, 10, 16)
	if err != nil || d.Kind != CUDA {
		return Device{}, invalid(text)
	}
	d.Ordinal = int(n)
	return d, nil
}

// MustParse is Parse for text that has been checked; it panics on an error.
func MustParse(text string) Device {
	d, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return d
}

func invalid(text string) error {
	return fmt.Errorf("device: %q is not auto, cpu, cuda or cuda:N", text)
}

// String returns the form that Parse reads; a GPU is always given with its number.
func (d Device) String() string {
	switch d.Kind {
	case "":
		return string(Auto)
	case CUDA:
		return fmt.Sprintf("%s:%d", d.Kind, d.Ordinal)
	}
	return string(d.Kind)
}

// IsZero reports whether d is the zero value, which JSON leaves out (omitzero).
func (d Device) IsZero() bool { return d == Device{} }

// MarshalText makes a device a string in JSON.
func (d Device) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what Parse reads.
func (d *Device) UnmarshalText(text []byte) (err error) {
	*d, err = Parse(string(text))
	return err
}

// Visible returns the entry of CUDA_VISIBLE_DEVICES that CUDA numbers ordinal: a number or a UUID. Without that variable
// it returns the ordinal itself. It fails if the variable hides the GPU.
func Visible(ordinal int) (string, error) {
	list, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
	if !set {
		return strconv.Itoa(ordinal), nil
	}
	entries := strings.Split(list, ",")
	if ordinal >= len(entries) || strings.TrimSpace(entries[ordinal]) == "" {
		return "", fmt.Errorf("cuda:%d: CUDA_VISIBLE_DEVICES=%s has no such entry", ordinal, list)
	}
	return strings.TrimSpace(entries[ordinal]), nil
}
