package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"so8t/version"
)

// machine is what decides speed on a CPU.
type machine struct {
	CPU             string   `json:"cpu"`
	InstructionSets []string `json:"instruction_sets"` // of those that products use
	Cores           int      `json:"cores"`            // that this process may use
}

// software is the build that was measured, and what it was measured with.
type software struct {
	version.Version
	Go           string `json:"go"`
	ISA          string `json:"isa"`              // instruction sets of the CPU library's own kernels
	OneDNN       string `json:"onednn,omitempty"` // of the CPU library
	Torch        string `json:"torch"`
	Transformers string `json:"transformers"`
	PEFT         string `json:"peft"`
}

// productSets are the flags of /proc/cpuinfo that name instructions for products.
var productSets = []string{"avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"}

func thisMachine() (machine, error) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return machine{}, err
	}
	m, err := parseCPUInfo(string(text))
	m.Cores = runtime.NumCPU()
	return m, err
}

// parseCPUInfo reads the first processor of /proc/cpuinfo; proc(5).
func parseCPUInfo(text string) (m machine, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "model name":
			m.CPU = value
		case "flags":
			flags := strings.Fields(value)
			for _, set := range productSets {
				if slices.Contains(flags, set) {
					m.InstructionSets = append(m.InstructionSets, set)
				}
			}
		}
		if m.CPU != "" && m.InstructionSets != nil {
			return m, nil
		}
	}
	return m, fmt.Errorf("/proc/cpuinfo: no model name, or none of the instruction sets %v", productSets)
}

// differs names what keeps absolute figures of two machines from being compared; empty: nothing.
func (m machine) differs(other machine) string {
	switch {
	case m.CPU != other.CPU:
		return fmt.Sprintf("CPU %s against %s", m.CPU, other.CPU)
	case !slices.Equal(m.InstructionSets, other.InstructionSets):
		return fmt.Sprintf("instruction sets %v against %v", m.InstructionSets, other.InstructionSets)
	case m.Cores != other.Cores:
		return fmt.Sprintf("%d cores against %d", m.Cores, other.Cores)
	}
	return ""
}

// slug is the CPU's name for a file.
func (m machine) slug() string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(m.CPU), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "-")
}

// mappedLibrary is the name of the file behind a shared library that this process has loaded: its links end at the one with the version.
func mappedLibrary(prefix string) (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(maps)) {
		if name := filepath.Base(strings.TrimSpace(line)); strings.HasPrefix(name, prefix) {
			return name, nil
		}
	}
	return "", nil
}
