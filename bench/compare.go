package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"so8t/version"
)

// compareCommand takes the step by turns with PyTorch + PEFT, as a machine's clock and neighbours change within minutes. Each engine
// counts with the number type, and PyTorch compiled or not, in which it is fastest on this machine.
type compareCommand struct {
	Shape          string        `default:"100m" enum:"${shapes}" help:"${enum}"`
	Sequence       int           `default:"512" help:"Tokens of a step, one sample."`
	Rank           int           `default:"64" help:"Of LoRA."`
	Threads        int           `help:"Of this engine and of PyTorch; 0: two, or one where there is one core."`
	Steps          int           `default:"8" help:"In each turn, the first two left out."`
	ProbeSteps     int           `default:"5" help:"To find the fastest variants of each, the first two left out."`
	Rounds         int           `default:"3" help:"Turns of each."`
	ProductSeconds float64       `default:"0.5" help:"For each shape of a matrix product."`
	Python         string        `env:"SO8T_PEER_PYTHON" help:"Python that has torch, transformers and peft; bench/run.sh makes one."`
	Tokenizer      string        `default:"demo/base" help:"Folder of the tokenizer that is measured."`
	Int8           bool          `name:"int8" default:"true" negatable:"" help:"Hold the base's weights as int8 rows."`
	Wait           time.Duration `default:"1m" help:"How long to wait, before each measurement, for this machine's other processes to be quiet; 0: not at all."`
	Again          int           `default:"1" help:"How often to repeat a measurement that others disturbed."`
	History        string        `placeholder:"DIR" help:"Folder for the result, as <CPU>_<shape>_<date>.json; see bench diff."`
}

func (c *compareCommand) Validate() error {
	if c.Steps < 3 || c.ProbeSteps < 3 {
		return errors.New("--steps, --probe-steps: two are left out, so at least 3")
	}
	if c.Rounds < 1 {
		return errors.New("--rounds: at least 1")
	}
	return nil
}

// Run prints a comparison.
func (c *compareCommand) Run(ctx context.Context) (err error) {
	if c.Python == "" {
		return errors.New("no Python for the peers: --python or SO8T_PEER_PYTHON; bench/run.sh makes one")
	}
	if c.History != "" {
		if err := os.MkdirAll(c.History, 0o755); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp("", "so8t-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	base := filepath.Join(work, c.Shape)
	if _, err := writeModel(ctx, base, shapes[c.Shape], "", 1); err != nil {
		return err
	}
	b, err := c.bench(base)
	if err != nil {
		return err
	}
	if err := b.probe(ctx); err != nil {
		return err
	}
	if err := b.rounds(ctx); err != nil {
		return err
	}
	if err := b.conclude(c); err != nil {
		return err
	}
	for _, line := range b.report.lines() {
		fmt.Println(line)
	}
	if c.History != "" {
		path, err := b.report.save(c.History)
		if err != nil {
			return err
		}
		fmt.Println("written to", path)
	}
	return printJSON(b.report)
}

// compareBench is a run of the command.
type compareBench struct {
	*compareCommand
	variants []*variant
	peaks    []process // that print products
	products [][]product
	report   comparison
}

func (c *compareCommand) bench(base string) (*compareBench, error) {
	b := &compareBench{compareCommand: c, report: comparison{Measured: time.Now().UTC(), Shape: c.Shape, Rank: c.Rank, Sequence: c.Sequence, Int8: c.Int8,
		Tokenizer: c.Tokenizer, Rounds: c.Rounds, Software: software{Version: version.Current()}}}
	var err error
	if b.report.Machine, err = thisMachine(); err != nil {
		return nil, err
	}
	b.report.Threads = c.Threads
	if c.Threads == 0 {
		b.report.Threads = min(2, b.report.Machine.Cores)
	}
	n := strconv.Itoa
	threads := n(b.report.Threads)
	size := []string{"--threads", threads, "--sequence", n(c.Sequence), "--rank", n(c.Rank)}
	own, err := self(append([]string{"step", "--base", base, "--int8=" + strconv.FormatBool(c.Int8)}, size...)...)
	if err != nil {
		return nil, err
	}
	peer := process{program: c.Python, args: append([]string{"bench/peft_train.py", "--shape", c.Shape, "--device", "cpu"}, size...)}
	b.variants = []*variant{{Engine: "so8t", Type: "bfloat16", process: own}, {Engine: "so8t", Type: "float32", process: own.with("--float32")}}
	for _, numberType := range []string{"bfloat16", "float32"} {
		p := peer.with("--dtype", numberType)
		b.variants = append(b.variants, &variant{Engine: "PEFT", Type: numberType, process: p},
			&variant{Engine: "PEFT", Type: numberType, Compiled: true, process: p.with("--compile")})
	}
	products := own
	seconds := fmt.Sprint(c.ProductSeconds)
	products.args = []string{"products", "--threads", threads, "--seconds", seconds}
	viaOneDNN := products
	viaOneDNN.env = []string{"SO8T_CPU_BF16=onednn"} // instead of this project's own kernel, where that is taken
	torch := process{program: c.Python, args: []string{"bench/matmul_peak.py", "--threads", threads, "--seconds", seconds}}
	b.peaks = []process{torch, products, viaOneDNN}
	return b, nil
}

// probe takes a few steps of every variant.
func (b *compareBench) probe(ctx context.Context) error {
	fmt.Printf("%s, r = %d, %d tokens a step, dropout 0.05, %d threads on %s (%s)\nprobe of every variant; tokens/s\n", b.Shape, b.Rank, b.Sequence,
		b.report.Threads, b.report.Machine.CPU, strings.Join(b.report.Machine.InstructionSets, " "))
	t := turn{wait: b.Wait, again: b.Again}
	for _, v := range b.variants {
		v.probe(ctx, &t, strconv.Itoa(b.ProbeSteps))
		if t.err != nil {
			return t.err
		}
		if v.Error != "" {
			fmt.Printf("%24s      failed: %s\n", v.name(), v.Error)
			continue
		}
		fmt.Printf("%24s %11.1f\n", v.name(), v.Probe)
	}
	return nil
}

// rounds measures by turns what the probe found fast.
func (b *compareBench) rounds(ctx context.Context) error {
	own, err := contenders(b.variants, "so8t")
	if err != nil {
		return err
	}
	peers, err := contenders(b.variants, "PEFT")
	if err != nil {
		return err
	}
	list := append(own, peers...)
	fmt.Printf("%6s", "round")
	for _, v := range list {
		fmt.Printf("  %22s", v.name())
	}
	fmt.Printf("  %s\n", "peak bfloat16, float32 GFLOP/s")
	for round := range b.Rounds {
		t := turn{wait: b.Wait, again: b.Again}
		var speeds strings.Builder
		for _, v := range list {
			r := v.round(ctx, &t, strconv.Itoa(b.Steps))
			b.report.Software.note(v, r)
			fmt.Fprintf(&speeds, "  %22.1f", r.TokensPerSecond)
		}
		var products []product
		for _, p := range b.peaks {
			var r productsResult
			t.run(ctx, &r, p)
			b.report.Software.OneDNN = max(b.report.Software.OneDNN, r.OneDNN)
			products = append(products, relabel(r.Products, p.env)...)
		}
		if t.err != nil {
			return t.err
		}
		b.products = append(b.products, products)
		b.report.OthersRounds = append(b.report.OthersRounds, t.others)
		fmt.Printf("%6d%s  %.0f, %.0f\n", round+1, speeds.String(), peak(products, "bfloat16").GFLOPS, peak(products, "float32").GFLOPS)
	}
	return nil
}

// relabel names the setting that this engine's products were measured under.
func relabel(products []product, env []string) []product {
	for i := range products {
		if len(env) > 0 {
			products[i].By += " with " + strings.Join(env, " ")
		}
	}
	return products
}

// conclude takes the best of each.
func (b *compareBench) conclude(c *compareCommand) (err error) {
	r := &b.report
	ours := fastest(b.variants, func(v *variant) bool { return v.Engine == "so8t" && len(v.Rounds) > 0 })
	theirs := fastest(b.variants, func(v *variant) bool { return v.Engine == "PEFT" && len(v.Rounds) > 0 })
	compiled := fastest(b.variants, func(v *variant) bool { return v.Engine == "PEFT" && v.Compiled })
	r.Best, r.TokensPerSecond, r.PeakBytes = ours.name(), ours.speed(), ours.PeakBytes
	r.PEFTBest, r.PEFT, r.PEFTPeakBytes = theirs.name(), theirs.speed(), theirs.PeakBytes
	r.Ratio = r.TokensPerSecond / r.PEFT
	if compiled != nil {
		r.PEFTCompiled = compiled.speed()
		r.RatioCompiled = r.TokensPerSecond / r.PEFTCompiled
	}
	for _, products := range b.products {
		best := peak(products, ours.Type)
		r.PeakRounds = append(r.PeakRounds, best.GFLOPS)
		if best.GFLOPS >= slices.Max(r.PeakRounds) {
			r.PeakProduct = best
		}
	}
	r.Products = b.products[len(b.products)-1]
	r.PeakGFLOPS = median(r.PeakRounds)
	r.FlopsPerToken = shapes[c.Shape].flops(c.Sequence, c.Rank)
	r.ShareOfPeak = r.FlopsPerToken * r.TokensPerSecond / (r.PeakGFLOPS * 1e9)
	for _, v := range b.variants {
		r.Variants = append(r.Variants, *v)
	}
	r.TokenizerMBPerSec, err = tokenizerSpeed(c.Tokenizer)
	return err
}
