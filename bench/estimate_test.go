package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"so8t/disk"
)

// reviewed is the code as it was when its machine code and bytes were first counted.
var reviewed = code{expandShare: 0.86, elementShare: 0.96, maskedCopies: 2, downShare: 1, downLaunches: 4, upLaunches: 14, loraLeast: 9e-6,
	dxShare: 0.58, copies: 22,
	smallKernels: 32, headShare: 0.64,
	forward: tiles{products: 2, all: 965, mma: 192, shared: 72, mufu: 68, half: 828},
	keys:    tiles{products: 4, all: 736, mma: 96, shared: 67, mufu: 16, half: 639},
	queries: tiles{products: 3, all: 875, mma: 144, shared: 66, mufu: 32, half: 639}}

// TestEstimateOfTheReview: the model gives what was reckoned by hand for the code of that time on an H100.
func TestEstimateOfTheReview(t *testing.T) {
	for _, want := range []struct {
		row, sample, tokensPerSecond, outside float64
	}{
		{2048, 2048, 18_500, 0.48}, {4096, 2048, 21_600, 0}, {8192, 2048, 23_200, 0.42}, {16384, 2048, 24_000, 0},
		{4096, 4096, 18_600, 0}, {8192, 8192, 15_300, 0}, {16384, 16384, 10_700, 0},
	} {
		s := step{shape: shapes["phi35"], card: cards["h100"], row: want.row, sample: want.sample, rank: 64, code: reviewed}
		total, outside := 0.0, 0.0
		for _, c := range s.costs() {
			total += c.Seconds
			if c.By != byCuBLASLt {
				outside += c.Seconds
			}
			t.Logf("%-30s %-24s %8.2f ms", c.Part, c.Operation, 1e3*c.Seconds)
		}
		if got := want.row / total; math.Abs(got/want.tokensPerSecond-1) > 0.03 {
			t.Errorf("%.0f tokens in samples of %.0f: %.0f tokens/s (%.1f ms), want %.0f", want.row, want.sample, got, 1e3*total, want.tokensPerSecond)
		}
		if got := outside / total; want.outside > 0 && math.Abs(got-want.outside) > 0.015 {
			t.Errorf("%.0f tokens: %.3f of the time outside cuBLASLt, want %.2f", want.row, got, want.outside)
		}
	}
}

// reviewedDecode is decoding of that time: four products on CUDA cores and seven small kernels a layer; every weight made bfloat16 beyond 8 rows.
var reviewedDecode = decodeCode{fewRows: 8, fewShare: 0.72, fewSmall: 6, small: 6, smallSeconds: 3.1e-6, host: 50e-6}

func TestEstimateOfTheReviewsDecoding(t *testing.T) {
	for batch, want := range map[float64][2]float64{1: {370, 400}, 16: {1560, 1900}, 64: {6200, 6900}} {
		d := decoding{shape: shapes["phi35"], card: cards["h100"], batch: batch, context: 1, code: reviewedDecode}
		seconds, _ := sum(d.costs())
		if got := batch / seconds; got < want[0] || got > want[1] {
			t.Errorf("%.0f sequences: %.0f tokens/s, want %v", batch, got, want)
		}
	}
}

// TestEstimateGrows: every choice changes the estimate the way that it must.
func TestEstimateGrows(t *testing.T) {
	c := estimateCommand{Card: "h100", Shape: "phi35", Rank: 64}
	plain := c.step(8192, 2048, false, true, "own")
	for name, slower := range map[string]stepEstimate{
		"recomputation": c.step(8192, 2048, true, true, "own"), "the base in int8 alone": c.step(8192, 2048, false, false, "own"),
		"longer samples": c.step(8192, 8192, false, true, "own"),
		"a larger rank":  (&estimateCommand{Card: "h100", Shape: "phi35", Rank: 256}).step(8192, 2048, false, true, "own"),
		"an older card":  (&estimateCommand{Card: "a100", Shape: "phi35", Rank: 64}).step(8192, 2048, false, true, "own"),
	} {
		if slower.Seconds <= plain.Seconds {
			t.Errorf("%s takes %.4f s, less than %.4f", name, slower.Seconds, plain.Seconds)
		}
	}
	if cudnn := c.step(8192, 2048, false, true, "cudnn"); cudnn.OwnKernels >= plain.OwnKernels || cudnn.OutsideCuBLASLt <= cudnn.OwnKernels {
		t.Errorf("cuDNN's attention: %.2f of the time in own kernels, %.2f outside cuBLASLt; without it %.2f",
			cudnn.OwnKernels, cudnn.OutsideCuBLASLt, plain.OwnKernels)
	}
	for _, s := range []stepEstimate{plain, c.step(512, 2048, true, false, "own")} {
		total, _ := sum(s.Parts)
		if total != s.Seconds || s.TokensPerSecond != float64(s.Row)/total {
			t.Errorf("the parts' sum is %v, the step's time %v", total, s.Seconds)
		}
	}
}

// TestEstimateAgainst: a card that takes twice the time, most of it in one operation.
func TestEstimateAgainst(t *testing.T) {
	c := estimateCommand{Card: "h100", Shape: "phi35", Rank: 64, Attention: "own"}
	e := c.step(2048, 2048, false, true, "own")
	forward := 0.0
	for _, p := range e.Parts {
		if p.Operation == "linear_forward" {
			forward += p.Seconds
		}
	}
	var adamw float64
	for _, p := range e.Parts {
		if p.Operation == "adamw" {
			adamw = p.Seconds
		}
	}
	c.Against = filepath.Join(t.TempDir(), "summary.json")
	text := fmt.Sprintf(`{"memory": [{"bytes_per_second": 5.1e12}], "decode": [{"batch": 1, "prompt_tokens": 32, "new_tokens": 192, "tokens_per_second": %v}],
		"steps": [{"stage": "profile", "sequence": 2048, "step_tokens": [2048, 2048], "step_seconds": [1, 1], "attention": "auto", "keep_expanded": true,
		"tokens_per_second": %v}], "profile": [{"stage": "profile", "operation": "adamw", "calls": 2, "ms": %v},
		{"stage": "profile", "operation": "linear_forward", "calls": 2, "ms": %v}, {"stage": "other", "operation": "zero", "calls": 2, "ms": 1}]}`,
		c.decode(1, 128).TokensPerSecond/2, e.TokensPerSecond/2, 2*3*1e3*adamw, 2*2*1e3*forward)
	if err := os.WriteFile(c.Against, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var m gpuSummary
	if err := disk.ReadJSON(c.Against, &m); err != nil {
		t.Fatal(err)
	}
	whole, operations := c.hold(&m)
	for i, want := range []comparisonLine{{What: "memory", Ratio: 2}, {What: "profile, 2048 tokens", Ratio: 0.5}, {What: "decoding 1", Ratio: 0.5}} {
		if i >= len(whole) || whole[i].What != want.What || math.Abs(whole[i].Ratio-want.Ratio) > 1e-9 {
			t.Errorf("whole %+v, want %+v", whole, want)
		}
	}
	if len(operations) != 2 || operations[0].What != "profile: linear_forward" || math.Abs(operations[0].Ratio-2) > 1e-9 ||
		math.Abs(operations[1].Ratio-3) > 1e-9 {
		t.Errorf("operations %+v", operations)
	}
	var out strings.Builder
	if err := c.against(&out); err != nil || strings.Index(out.String(), "linear_forward") > strings.Index(out.String(), "adamw") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
