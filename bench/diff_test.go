package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"so8t/version"
)

func measured(cpu string, speed, peer float64) comparison {
	return comparison{
		Measured: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Machine: machine{CPU: cpu, InstructionSets: []string{"avx2"}, Cores: 2}, Threads: 2,
		Software: software{Version: version.Version{Tag: "0.1.0", Commit: "0123456789abcdef", Arithmetic: 1}, Torch: "2.9", OneDNN: "libdnnl.so.3.6"},
		Shape:    "100m", Rank: 64, Sequence: 512,
		Best: "so8t bfloat16", TokensPerSecond: speed, PEFTBest: "PEFT float32", PEFT: peer, Ratio: speed / peer, ShareOfPeak: 0.5, PeakGFLOPS: 100,
		PeakBytes: 6e8, PEFTPeakBytes: 2e9, TokenizerMBPerSec: 40, OthersRounds: []float64{0.1},
	}
}

func TestDiff(t *testing.T) {
	var out strings.Builder
	d, err := diff(&out, measured("EPYC", 600, 300), measured("EPYC", 660, 300))
	if err != nil {
		t.Fatal(err)
	}
	const want = `A: 2026-01-02 03:04, EPYC, 2 threads; so8t bfloat16 against PEFT float32; 0.1.0, commit 0123456789ab, arithmetic 1, torch 2.9, libdnnl.so.3.6
B: 2026-01-02 03:04, EPYC, 2 threads; so8t bfloat16 against PEFT float32; 0.1.0, commit 0123456789ab, arithmetic 1, torch 2.9, libdnnl.so.3.6
                                          A          B    B ÷ A
ratio to PEFT's best                  2.000      2.200    1.100
ratio to PEFT's best compiled         0.000      0.000        –
share of the best product             0.500      0.500    1.000
peak memory ÷ PEFT's                  0.300      0.300    1.000
tokens/s                              600.0      660.0    1.100
PEFT's tokens/s                       300.0      300.0    1.000
best product, GFLOP/s                   100        100    1.000
peak memory, GB                       0.600      0.600    1.000
tokenizer, MB/s                        40.0       40.0    1.000
`
	if out.String() != want || d.Machines != "" || d.Ratios["tokens/s"] != 1.1 {
		t.Errorf("%+v\n%s", d, out.String())
	}
}

// Speeds of two machines say nothing about the engine: only the ratios to each one's own peer and peak are compared.
func TestDiffOfTwoMachines(t *testing.T) {
	cores, sets := measured("EPYC", 600, 300), measured("EPYC", 600, 300)
	cores.Machine.Cores, sets.Machine.InstructionSets = 64, []string{"avx2", "avx512f"}
	threads := measured("EPYC", 600, 300)
	threads.Threads = 1
	for _, b := range []comparison{measured("Xeon", 1200, 600), cores, sets, threads} {
		var out strings.Builder
		d, err := diff(&out, measured("EPYC", 600, 300), b)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(d.Ratios))
		if d.Machines == "" || !slices.Equal(names, []string{"peak memory ÷ PEFT's", "ratio to PEFT's best", "share of the best product"}) {
			t.Errorf("%s: compared %v", d.Machines, names)
		}
		if !strings.Contains(out.String(), "different machines ("+d.Machines+"): compared by the ratios to their own peer and peak only") {
			t.Error(out.String())
		}
	}
}

func TestDiffOfDifferentWork(t *testing.T) {
	other := measured("EPYC", 600, 300)
	other.Sequence = 1024
	if _, err := diff(new(strings.Builder), measured("EPYC", 600, 300), other); err == nil || !strings.Contains(err.Error(), "not the same work") {
		t.Errorf("%v", err)
	}
}

func TestDiffDistrustsABusyMachine(t *testing.T) {
	busy := measured("EPYC", 600, 300)
	busy.OthersRounds = []float64{0, 0.9}
	var out strings.Builder
	if _, err := diff(&out, measured("EPYC", 600, 300), busy); err != nil || strings.Count(out.String(), "not to be trusted") != 1 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestCPUInfo(t *testing.T) {
	m, err := parseCPUInfo("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n" +
		"flags\t\t: fpu avx avx2 avx512f amx_bf16 avx512_bf16\n\nprocessor\t: 1\nflags\t: none\n")
	if err != nil || !slices.Equal(m.InstructionSets, []string{"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if got := m.slug(); got != "intel-r-xeon-r-platinum-8481c-cpu-2-70ghz" {
		t.Error(got)
	}
	if _, err := parseCPUInfo("processor\t: 0\n"); err == nil {
		t.Error("a text without a model was accepted")
	}
	if here, err := thisMachine(); err != nil || here.CPU == "" || here.Cores < 1 {
		t.Errorf("%+v, %v", here, err)
	}
}
