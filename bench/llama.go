package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// llamaCommand takes generation by turns with llama.cpp, on the same random weights: this engine's as int8 rows with the head in
// bfloat16, llama.cpp's in Q8_0.
type llamaCommand struct {
	Libraries string        `required:"" help:"Folder of libllama and libggml; bench/llama.sh fetches them."`
	Shape     string        `default:"100m" enum:"tiny,100m,1b" help:"${enum}"`
	Batch     []int         `default:"1,16" help:"Sequences at once; each is measured."`
	Prompt    int           `default:"128" help:"Tokens of each prompt."`
	New       int           `default:"128" help:"Tokens to generate, at least 4."`
	Threads   int           `default:"2" help:"Of both."`
	Rounds    int           `default:"5" help:"Turns of each."`
	Wait      time.Duration `default:"1m" help:"How long to wait, before each measurement, for this machine's other processes to be quiet; 0: not at all."`
	Again     int           `default:"1" help:"How often to repeat a measurement that others disturbed."`
	Dir       string        `help:"Where to write the models; a temporary folder by default."`
}

// llamaReport is what the command prints.
type llamaReport struct {
	Machine machine       `json:"machine"`
	Backend string        `json:"llama_backend"`
	System  string        `json:"llama_system"`
	Shape   string        `json:"shape"`
	Threads int           `json:"threads"`
	Prompt  int           `json:"prompt_tokens"`
	New     int           `json:"new_tokens"`
	Cosine  float64       `json:"logits_cosine"` // of the two engines' logits after a prompt
	Batches []llamaSpeeds `json:"batches"`
	Others  float64       `json:"cores_of_others"` // the most during a measurement
}

// llamaSpeeds are the tokens/s at one number of sequences.
type llamaSpeeds struct {
	Batch      int       `json:"batch"`
	Own        []float64 `json:"rounds"`
	Llama      []float64 `json:"llama_rounds"`
	Median     float64   `json:"tokens_per_second"`
	LlamaSpeed float64   `json:"llama_tokens_per_second"`
	Ratio      float64   `json:"ratio"` // the median of the rounds' ratios
}

func (c *llamaCommand) Validate() error {
	if c.New <= settled || c.Rounds < 1 || len(c.Batch) == 0 {
		return errors.New("--new: at least 4; --rounds, --batch: at least 1")
	}
	return nil
}

// Run prints a llamaReport.
func (c *llamaCommand) Run(ctx context.Context) error {
	dir, clean, err := saveFolder(c.Dir)
	if err != nil {
		return err
	}
	defer clean()
	b := &llamaBench{llamaCommand: c, dir: dir, turn: turn{wait: c.Wait, again: c.Again},
		report: llamaReport{Shape: c.Shape, Threads: c.Threads, Prompt: c.Prompt, New: c.New}}
	if b.report.Machine, err = thisMachine(); err != nil {
		return err
	}
	s, base, gguf := shapes[c.Shape], filepath.Join(dir, c.Shape), filepath.Join(dir, c.Shape+".gguf")
	if _, err := writeModel(ctx, base, s, "", 1); err != nil {
		return err
	}
	if err := writeGGUF(ctx, gguf, base, s); err != nil {
		return err
	}
	n := strconv.Itoa
	size := []string{"--threads", n(c.Threads), "--prompt", n(c.Prompt), "--new", n(c.New)}
	if b.own, err = self(append([]string{"decode", "--base", base, "--logits", b.logits("own")}, size...)...); err != nil {
		return err
	}
	b.llama = b.own
	b.llama.args = append([]string{"llama-decode", "--libraries", c.Libraries, "--model", gguf, "--vocab", n(s.Vocab), "--logits", b.logits("llama")}, size...)
	for _, batch := range c.Batch {
		if err := b.measure(ctx, batch); err != nil {
			return err
		}
	}
	if b.report.Others = b.turn.others; b.report.Others > quietCores {
		fmt.Printf("other processes used up to %.1f cores meanwhile, which slows llama.cpp's spinning threads more: measure again\n", b.report.Others)
	}
	return printJSON(b.report)
}

// llamaBench is a run of the command.
type llamaBench struct {
	*llamaCommand
	dir        string
	own, llama process
	turn       turn
	report     llamaReport
}

func (b *llamaBench) logits(of string) string { return filepath.Join(b.dir, of+".logits") }

// measure takes the rounds at one number of sequences.
func (b *llamaBench) measure(ctx context.Context, batch int) error {
	s := llamaSpeeds{Batch: batch}
	var ratios []float64
	for round := range b.Rounds {
		var own decodeResult
		var llama llamaDecodeResult
		b.turn.run(ctx, &own, b.own.with("--batch", strconv.Itoa(batch)))
		b.turn.run(ctx, &llama, b.llama.with("--batch", strconv.Itoa(batch)))
		if b.turn.err != nil {
			return b.turn.err
		}
		if err := b.sameWork(); err != nil {
			return err
		}
		if b.report.Backend == "" {
			b.report.Backend, b.report.System = llama.Backend, llama.System
			fmt.Printf("%s, %d threads on %s %v; llama.cpp with %s: %s\n%5s %5s  %10s  %10s  %5s  (tokens/s)\n", b.Shape, b.Threads,
				b.report.Machine.CPU, b.report.Machine.InstructionSets, llama.Backend, llama.System, "batch", "round", "so8t", "llama.cpp", "ratio")
		}
		s.Own, s.Llama = append(s.Own, own.TokensPerSecond), append(s.Llama, llama.TokensPerSecond)
		ratios = append(ratios, own.TokensPerSecond/llama.TokensPerSecond)
		fmt.Printf("%5d %5d  %10.1f  %10.1f  %5.2f\n", batch, round+1, own.TokensPerSecond, llama.TokensPerSecond, ratios[round])
	}
	s.Median, s.LlamaSpeed, s.Ratio = median(s.Own), median(s.Llama), median(ratios)
	fmt.Printf("%5d       %11.1f  %10.1f  %5.2f  medians\n", batch, s.Median, s.LlamaSpeed, s.Ratio)
	b.report.Batches = append(b.report.Batches, s)
	return nil
}

// sameWork compares the logits that the two engines computed for the same prompt: rounding alone keeps them apart.
func (b *llamaBench) sameWork() error {
	const least = 0.99
	own, err := readLogits(b.logits("own"))
	if err != nil {
		return err
	}
	llama, err := readLogits(b.logits("llama"))
	if err != nil {
		return err
	}
	if len(own) != len(llama) {
		return fmt.Errorf("%d logits, llama.cpp has %d", len(own), len(llama))
	}
	var dot, ownSquares, llamaSquares float64
	for i := range own {
		x, y := float64(own[i]), float64(llama[i])
		dot, ownSquares, llamaSquares = dot+x*y, ownSquares+x*x, llamaSquares+y*y
	}
	b.report.Cosine = dot / math.Sqrt(ownSquares*llamaSquares)
	if !(b.report.Cosine >= least) {
		return fmt.Errorf("the logits of the two engines have a cosine of %.4f, want %v: not the same work", b.report.Cosine, least)
	}
	return nil
}

// randomPrompts are the same for both engines.
func randomPrompts(n, length, vocab int) [][]int32 {
	samples := randomSamples{n: n, lengths: []int{length}, vocab: vocab}
	prompts := make([][]int32, n)
	for i := range prompts {
		prompts[i] = samples.At(i).InputIDs
	}
	return prompts
}

func writeLogits(path string, logits []float32) error {
	data, err := binary.Append(nil, binary.LittleEndian, logits)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func readLogits(path string) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	logits := make([]float32, len(data)/4)
	_, err = binary.Decode(data, binary.LittleEndian, logits)
	return logits, err
}
