package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"so8t/configs"
)

// estimateCommand reckons the time of a training step and of decoding on a GPU from bytes, arithmetic and machine code.
type estimateCommand struct {
	Card      string         `default:"h100" enum:"${cards}" help:"${enum}"`
	Shape     string         `default:"phi35" enum:"${shapes}" help:"${enum}"`
	Row       []int          `default:"2048,8192" help:"Tokens of a packed row: a step has one."`
	Sequence  int            `default:"2048" help:"Tokens of a sample; one longer than the row is cut to it."`
	Rank      int            `default:"64" help:"Of LoRA, on each of the seven projections."`
	Recompute string         `default:"both" enum:"both,true,false" help:"Gradient checkpointing, with the layers' inputs kept: ${enum}"`
	Keep      configs.Switch `name:"keep-expanded" default:"true" enum:"true,false" help:"model.keep_expanded: ${enum}"`
	Attention string         `default:"own" enum:"own,cudnn" help:"${enum}"`
	Batch     []int          `default:"1,16,64" help:"Sequences that are decoded at once."`
	Context   int            `default:"128" help:"Tokens of each in the cache."`
	Overlap   bool           `help:"Decode with SO8T_CUDA_OVERLAP=1: a kernel begins as the one before it ends."`
	Against   string         `type:"existingfile" help:"summary.json of tools/gpu/first.sh or second.sh: what was measured, beside the estimate."`
}

// estimateResult is the command's last line.
type estimateResult struct {
	Card   string           `json:"card"`
	Shape  string           `json:"shape"`
	Steps  []stepEstimate   `json:"steps"`
	Decode []decodeEstimate `json:"decode"`
}

// stepEstimate is a step of training.
type stepEstimate struct {
	Row             int     `json:"row"`
	Sequence        int     `json:"sequence"`
	Rank            int     `json:"rank"`
	Recompute       bool    `json:"gradient_checkpointing"`
	KeepExpanded    bool    `json:"keep_expanded"`
	Attention       string  `json:"attention"`
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	OutsideCuBLASLt float64 `json:"share_outside_cublaslt"`
	OwnKernels      float64 `json:"share_of_own_kernels"`
	BF16Floor       float64 `json:"share_of_bf16_floor"`
	Parts           []cost  `json:"parts"`
}

// decodeEstimate is a step of generation.
type decodeEstimate struct {
	Batch           int     `json:"batch"`
	Seconds         float64 `json:"seconds"`
	TokensPerSecond float64 `json:"tokens_per_second"`
	MemoryShare     float64 `json:"share_of_memory_speed"` // by the weights alone
	Parts           []cost  `json:"parts"`
}

func (c *estimateCommand) Validate() error {
	if c.Attention == "cudnn" && !cards[c.Card].cudnn {
		return fmt.Errorf("--attention: on a %s cuDNN has no deterministic backward pass for packed sequences", c.Card)
	}
	return nil
}

// Run prints the parts as a table, and an estimateResult.
func (c *estimateCommand) Run() error {
	if c.Against != "" {
		return c.against(os.Stdout)
	}
	r := estimateResult{Card: c.Card, Shape: c.Shape}
	for _, row := range c.Row {
		for _, recompute := range []bool{false, true} {
			if c.Recompute == "both" || c.Recompute == strconv.FormatBool(recompute) {
				r.Steps = append(r.Steps, c.step(row, c.Sequence, recompute, c.Keep == configs.On, c.Attention))
			}
		}
	}
	for _, batch := range c.Batch {
		r.Decode = append(r.Decode, c.decode(batch, c.Context))
	}
	if err := r.write(os.Stdout); err != nil {
		return err
	}
	return printJSON(r)
}

func (c *estimateCommand) step(row, sequence int, recompute, kept bool, attention string) stepEstimate {
	s := step{shape: shapes[c.Shape], card: cards[c.Card], row: float64(row), sample: float64(min(row, sequence)), rank: float64(c.Rank), recompute: recompute,
		kept: kept, cudnn: attention == "cudnn", code: present}
	e := stepEstimate{Row: row, Sequence: int(s.sample), Rank: c.Rank, Recompute: recompute, KeepExpanded: kept, Attention: attention, Parts: s.costs()}
	var by map[string]float64
	e.Seconds, by = sum(e.Parts)
	e.TokensPerSecond = s.row / e.Seconds
	e.OutsideCuBLASLt, e.OwnKernels = 1-by[byCuBLASLt]/e.Seconds, by[byOwn]/e.Seconds
	least, _ := s.leastSeconds(e.Sequence, c.Rank, recompute)
	e.BF16Floor = e.TokensPerSecond * least
	return e
}

func (c *estimateCommand) decode(batch, context int) decodeEstimate {
	d := decoding{shape: shapes[c.Shape], card: cards[c.Card], batch: float64(batch), context: float64(context), code: presentDecode}
	if c.Overlap {
		d.code = overlapped(d.code)
	}
	e := decodeEstimate{Batch: batch, Parts: d.costs()}
	e.Seconds, _ = sum(e.Parts)
	e.TokensPerSecond = d.batch / e.Seconds
	e.MemoryShare = d.weightBytes() / d.reading / e.Seconds
	return e
}

func sum(parts []cost) (seconds float64, by map[string]float64) {
	by = map[string]float64{}
	for _, p := range parts {
		seconds += p.Seconds
		by[p.By] += p.Seconds
	}
	return seconds, by
}

func (r *estimateResult) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "An estimate: no %s has run this. Times in ms.\n\n", strings.ToUpper(r.Card))
	for _, s := range r.Steps {
		fmt.Fprintf(w, "a step of %d tokens in samples of %d, rank %d, recomputation %v, base kept in bfloat16 %v, attention %s\n",
			s.Row, s.Sequence, s.Rank, s.Recompute, s.KeepExpanded, s.Attention)
		fmt.Fprint(w, "part\toperation\tby\ta token\trate\tms\tshare\tsource\n")
		writeParts(w, s.Parts, s.Seconds, float64(s.Row))
		fmt.Fprintf(w, "%.1f ms, %.0f tokens/s, %.0f %% of the least that the arithmetic takes; outside cuBLASLt %.0f %%, in own kernels %.0f %%\n\n",
			1e3*s.Seconds, s.TokensPerSecond, 100*s.BF16Floor, 100*s.OutsideCuBLASLt, 100*s.OwnKernels)
	}
	for _, d := range r.Decode {
		fmt.Fprintf(w, "a step of decoding, %d sequences\npart\toperation\tby\tin all\trate\tms\tshare\tsource\n", d.Batch)
		writeParts(w, d.Parts, d.Seconds, 1)
		fmt.Fprintf(w, "%.2f ms, %.0f tokens/s; the weights alone read at %.0f %% of the memory's speed\n\n",
			1e3*d.Seconds, d.TokensPerSecond, 100*d.MemoryShare)
	}
	return w.Flush()
}

func writeParts(w io.Writer, parts []cost, seconds, tokens float64) {
	for _, p := range parts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.2f\t%.1f %%\t%s\n", p.Part, p.Operation, p.By, scaled(p.Work/tokens, p.Unit), scaled(p.Rate, p.Unit+"/s"),
			1e3*p.Seconds, 100*p.Seconds/seconds, p.Source)
	}
}

// scaled writes a figure with a unit's prefix.
func scaled(x float64, unit string) string {
	for _, p := range []struct {
		prefix string
		size   float64
	}{{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if x >= p.size {
			return fmt.Sprintf("%.3g %s%s", x/p.size, p.prefix, unit)
		}
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}
