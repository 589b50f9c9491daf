package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// comparison is compare's last line.
type comparison struct {
	Ratio              float64   `json:"ratio"`          // to PyTorch + PEFT
	RatioCompiled      float64   `json:"ratio_compiled"` // to the same under torch.compile
	TokensPerSecond    float64   `json:"tokens_per_second"`
	ShareOfPeak        float64   `json:"share_of_peak"` // least arithmetic of a step ÷ the best of this machine's matrix products
	TokenizerMBPerSec  float64   `json:"tokenizer_mb_per_second"`
	PEFT               float64   `json:"peft_tokens_per_second"`
	PEFTCompiled       float64   `json:"peft_compiled_tokens_per_second"`
	PeakGFLOPS         float64   `json:"peak_gflops"`
	FlopsPerToken      float64   `json:"flops_per_token"`
	PeakBytes          int64     `json:"peak_rss_bytes"`
	PEFTPeakBytes      int64     `json:"peft_peak_rss_bytes"`
	Shape              string    `json:"shape"`
	Rank               int       `json:"rank"`
	Sequence           int       `json:"sequence"`
	Threads            int       `json:"threads"`
	ISA                string    `json:"isa"`
	Int8               bool      `json:"int8_base"`
	Torch              string    `json:"torch"`
	Tokenizer          string    `json:"tokenizer"`
	Rounds             int       `json:"rounds"`
	EngineRounds       []float64 `json:"engine_rounds"`
	PEFTRounds         []float64 `json:"peft_rounds"`
	PEFTCompiledRounds []float64 `json:"peft_compiled_rounds"`
	PeakGFLOPSPerRound []float64 `json:"peak_rounds"`
	OthersRounds       []float64 `json:"others_rounds"` // the most cores that other processes used during a measurement; above 0.2 the figures are not to be trusted
}

// peft is what peft_train.py prints.
type peft struct {
	Torch           string  `json:"torch"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	PeakBytes       int64   `json:"peak_bytes"`
}

// compare is `bench compare`. By turns, as a machine's clock and neighbours change within minutes.
func compare(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	name := f.String("shape", "100m", "tiny, 100m or phi35")
	sequence := f.Int("sequence", 512, "tokens of a step, one sample")
	rank := f.Int("rank", 64, "of LoRA")
	threads := f.Int("threads", min(2, runtime.NumCPU()), "of this engine and of PyTorch")
	steps := f.Int("steps", 8, "in each turn, the first two left out")
	rounds := f.Int("rounds", 3, "turns of each")
	python := f.String("python", os.Getenv("SO8T_PEER_PYTHON"), "Python that has torch, transformers and peft")
	tokenizer := f.String("tokenizer", "demo/base", "folder of the tokenizer that is measured")
	int8 := f.Bool("int8", true, "int8 rows for the base's weights")
	wait := f.Duration("wait", time.Minute, "how long to wait, before each measurement, for the other processes of this machine to be quiet")
	again := f.Int("again", 1, "how often to repeat a measurement that others disturbed")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *python == "" {
		return errors.New("no Python for the peers: -python or SO8T_PEER_PYTHON; bench/run.sh makes one")
	}
	s, err := shapeNamed(*name)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "so8t-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	base := filepath.Join(work, *name)
	if _, err := writeModel(ctx, base, s, "", 1); err != nil {
		return err
	}

	program, err := os.Executable()
	if err != nil {
		return err
	}
	c := comparison{Shape: *name, Rank: *rank, Sequence: *sequence, Threads: *threads, Int8: *int8, Tokenizer: *tokenizer, Rounds: *rounds}
	n := strconv.Itoa
	own := []string{"step", "-base", base, "-threads", n(*threads), "-sequence", n(*sequence), "-steps", n(*steps), "-rank", n(*rank), "-int8=" + strconv.FormatBool(*int8)}
	theirs := []string{"bench/peft_train.py", "--shape", *name, "--device", "cpu", "--threads", n(*threads), "--dtype", "bfloat16", "--sequence", n(*sequence), "--steps", n(*steps), "--rank", n(*rank)}
	fmt.Printf("%s, r = %d, %d tokens a step, bfloat16, dropout 0.05, %d threads; tokens/s\n", *name, *rank, *sequence, *threads)
	fmt.Printf("%6s %12s %12s %12s %18s\n", "round", "this engine", "PEFT", "compiled", "peak GFLOP/s")
	for round := range *rounds {
		var mine stepResult
		var plain, compiled peft
		var peak struct {
			GFLOPS float64 `json:"gflops"`
		}
		turn := turn{wait: *wait, again: *again}
		turn.run(ctx, &mine, program, own...)
		turn.run(ctx, &plain, *python, theirs...)
		turn.run(ctx, &compiled, *python, append(theirs[:len(theirs):len(theirs)], "--compile")...)
		turn.run(ctx, &peak, *python, "bench/matmul_peak.py", "--threads", n(*threads))
		if turn.err != nil {
			return turn.err
		}
		fmt.Printf("%6d %12.1f %12.1f %12.1f %18.0f\n", round+1, mine.TokensPerSecond, plain.TokensPerSecond, compiled.TokensPerSecond, peak.GFLOPS)
		c.OthersRounds = append(c.OthersRounds, turn.others)
		c.EngineRounds = append(c.EngineRounds, mine.TokensPerSecond)
		c.PEFTRounds = append(c.PEFTRounds, plain.TokensPerSecond)
		c.PEFTCompiledRounds = append(c.PEFTCompiledRounds, compiled.TokensPerSecond)
		c.PeakGFLOPSPerRound = append(c.PeakGFLOPSPerRound, peak.GFLOPS)
		c.PeakBytes, c.PEFTPeakBytes = max(c.PeakBytes, mine.PeakRSSBytes), max(c.PEFTPeakBytes, plain.PeakBytes)
		c.ISA, c.Torch = mine.ISA, plain.Torch
	}
	c.TokensPerSecond, c.PEFT, c.PEFTCompiled, c.PeakGFLOPS = median(c.EngineRounds), median(c.PEFTRounds), median(c.PEFTCompiledRounds), median(c.PeakGFLOPSPerRound)
	c.Ratio, c.RatioCompiled = c.TokensPerSecond/c.PEFT, c.TokensPerSecond/c.PEFTCompiled
	c.FlopsPerToken = s.flops(*sequence, *rank)
	c.ShareOfPeak = c.FlopsPerToken * c.TokensPerSecond / (c.PeakGFLOPS * 1e9)
	if c.TokenizerMBPerSec, err = tokenizerSpeed(*tokenizer); err != nil {
		return err
	}
	fmt.Printf("median: %.0f tokens/s, %.2f × PyTorch + PEFT, %.2f × the same compiled; %.0f %% of the machine's best matrix product (%.2f GFLOP a token)\n",
		c.TokensPerSecond, c.Ratio, c.RatioCompiled, 100*c.ShareOfPeak, c.FlopsPerToken/1e9)
	if most := slices.Max(c.OthersRounds); most > quietCores {
		fmt.Printf("other processes used up to %.1f cores meanwhile: these figures are not to be trusted\n", most)
	}
	fmt.Printf("peak memory: %.1f GB, PEFT %.1f GB; tokenizer %s: %.1f MB/s on one core\n", float64(c.PeakBytes)/1e9, float64(c.PEFTPeakBytes)/1e9, *tokenizer, c.TokenizerMBPerSec)
	return printJSON(c)
}
