package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"so8t/disk"
)

// comparison is compare's last line, and a file of the history. It names no host and no absolute path.
type comparison struct {
	Measured time.Time `json:"measured"`
	Machine  machine   `json:"machine"`
	Software software  `json:"software"`

	Shape    string `json:"shape"`
	Rank     int    `json:"rank"`
	Sequence int    `json:"sequence"`
	Threads  int    `json:"threads"`
	Int8     bool   `json:"int8_base"`
	Rounds   int    `json:"rounds"`

	Ratio           float64 `json:"ratio"`          // to PyTorch + PEFT's best variant
	RatioCompiled   float64 `json:"ratio_compiled"` // to its best under torch.compile; 0: none ran
	Best            string  `json:"best"`           // this engine's best variant
	TokensPerSecond float64 `json:"tokens_per_second"`
	PEFTBest        string  `json:"peft_best"`
	PEFT            float64 `json:"peft_tokens_per_second"`
	PEFTCompiled    float64 `json:"peft_compiled_tokens_per_second"`
	PeakBytes       int64   `json:"peak_rss_bytes"`
	PEFTPeakBytes   int64   `json:"peft_peak_rss_bytes"`

	FlopsPerToken float64 `json:"flops_per_token"`
	ShareOfPeak   float64 `json:"share_of_peak"` // least arithmetic of a step ÷ PeakGFLOPS
	PeakGFLOPS    float64 `json:"peak_gflops"`   // median of the rounds' fastest products in the number type of Best
	PeakProduct   product `json:"peak_product"`  // the fastest of all rounds

	Tokenizer         string  `json:"tokenizer"`
	TokenizerMBPerSec float64 `json:"tokenizer_mb_per_second"`

	Variants     []variant `json:"variants"`
	Products     []product `json:"products"` // of the last round
	PeakRounds   []float64 `json:"peak_rounds"`
	OthersRounds []float64 `json:"others_rounds"` // the most cores that other processes used during a measurement of a round
}

// note takes versions from what a variant printed.
func (s *software) note(v *variant, r result) {
	s.Go = runtime.Version()
	if v.Engine == "so8t" {
		s.ISA = r.ISA
	} else {
		s.Torch, s.Transformers, s.PEFT = r.Torch, r.Transformers, r.PEFT
	}
}

// busy reports whether other processes disturbed the comparison so much that its figures mean nothing.
func (c *comparison) busy() bool { return slices.Max(c.OthersRounds) > quietCores }

func (c *comparison) lines() []string {
	list := []string{
		fmt.Sprintf("median: %s %.0f tokens/s, %.2f × %s", c.Best, c.TokensPerSecond, c.Ratio, c.PEFTBest),
		fmt.Sprintf("%.0f %% of this machine's best matrix product for that type, %.0f GFLOP/s by %s in %s on %s weights (%.2f GFLOP a token)",
			100*c.ShareOfPeak, c.PeakGFLOPS, c.PeakProduct.By, c.PeakProduct.Type, c.PeakProduct.Weight, c.FlopsPerToken/1e9),
	}
	if c.RatioCompiled > 0 {
		list[0] += fmt.Sprintf(", %.2f × PEFT's best under torch.compile", c.RatioCompiled)
	}
	if c.busy() {
		list = append(list, fmt.Sprintf("other processes used up to %.1f cores meanwhile: these figures are not to be trusted", slices.Max(c.OthersRounds)))
	}
	return append(list, fmt.Sprintf("peak memory: %.1f GB, PEFT %.1f GB; tokenizer %s: %.1f MB/s on one core",
		float64(c.PeakBytes)/1e9, float64(c.PEFTPeakBytes)/1e9, c.Tokenizer, c.TokenizerMBPerSec))
}

// save writes the file of this machine, shape and day. A tokenizer outside the repository goes by its folder's name.
func (c comparison) save(dir string) (path string, err error) {
	if filepath.IsAbs(c.Tokenizer) {
		c.Tokenizer = filepath.Base(c.Tokenizer)
	}
	path = filepath.Join(dir, fmt.Sprintf("%s_%s_%s.json", c.Machine.slug(), c.Shape, c.Measured.Format(time.DateOnly)))
	return path, disk.ReplaceJSON(path, c)
}
