package main

import (
	"fmt"
	"io"
	"os"

	"so8t/disk"
)

// diffCommand holds two results of compare against each other. Absolute figures of different machines are not compared, only their
// ratios to the same machine's peer and peak.
type diffCommand struct {
	A string `arg:"" type:"existingfile" help:"A file of bench/history."`
	B string `arg:"" type:"existingfile" help:"Another, of the same work."`
}

// difference is diff's last line: B ÷ A by figure.
type difference struct {
	Machines string             `json:"machines_differ,omitempty"` // in what; empty: they are alike
	Ratios   map[string]float64 `json:"ratios"`
}

// Run prints a difference.
func (c *diffCommand) Run() error {
	var a, b comparison
	if err := disk.ReadJSON(c.A, &a); err != nil {
		return err
	}
	if err := disk.ReadJSON(c.B, &b); err != nil {
		return err
	}
	d, err := diff(os.Stdout, a, b)
	if err != nil {
		return err
	}
	return printJSON(d)
}

// figure is one of a comparison's results.
type figure struct {
	name, format string
	value        func(comparison) float64
	relative     bool // to the same machine's peer or peak
}

var figures = []figure{
	{"ratio to PEFT's best", "%.3f", func(c comparison) float64 { return c.Ratio }, true},
	{"ratio to PEFT's best compiled", "%.3f", func(c comparison) float64 { return c.RatioCompiled }, true},
	{"share of the best product", "%.3f", func(c comparison) float64 { return c.ShareOfPeak }, true},
	{"peak memory ÷ PEFT's", "%.3f", func(c comparison) float64 { return float64(c.PeakBytes) / float64(c.PEFTPeakBytes) }, true},
	{"tokens/s", "%.1f", func(c comparison) float64 { return c.TokensPerSecond }, false},
	{"PEFT's tokens/s", "%.1f", func(c comparison) float64 { return c.PEFT }, false},
	{"best product, GFLOP/s", "%.0f", func(c comparison) float64 { return c.PeakGFLOPS }, false},
	{"peak memory, GB", "%.3f", func(c comparison) float64 { return float64(c.PeakBytes) / 1e9 }, false},
	{"tokenizer, MB/s", "%.1f", func(c comparison) float64 { return c.TokenizerMBPerSec }, false},
}

// diff writes the table. It is an error if the two did different work.
func diff(w io.Writer, a, b comparison) (difference, error) {
	type work struct {
		shape          string
		rank, sequence int
		int8           bool
	}
	of := func(c comparison) work { return work{c.Shape, c.Rank, c.Sequence, c.Int8} }
	if of(a) != of(b) {
		return difference{}, fmt.Errorf("not the same work (shape, rank, sequence, int8): %v against %v", of(a), of(b))
	}
	d := difference{Machines: a.Machine.differs(b.Machine), Ratios: map[string]float64{}}
	if d.Machines == "" && a.Threads != b.Threads {
		d.Machines = fmt.Sprintf("%d threads against %d", a.Threads, b.Threads)
	}
	for i, c := range []comparison{a, b} {
		fmt.Fprintf(w, "%c: %s, %s, %d threads; %s against %s; %s, torch %s, %s\n", 'A'+i, c.Measured.Format("2006-01-02 15:04"),
			c.Machine.CPU, c.Threads, c.Best, c.PEFTBest, c.Software.Version, c.Software.Torch, c.Software.OneDNN)
		if c.busy() {
			fmt.Fprintf(w, "   other processes were busy meanwhile: its figures are not to be trusted\n")
		}
	}
	fmt.Fprintf(w, "%-32s %10s %10s %8s\n", "", "A", "B", "B ÷ A")
	for _, f := range figures {
		x, y := f.value(a), f.value(b)
		fmt.Fprintf(w, "%-32s %10s %10s ", f.name, fmt.Sprintf(f.format, x), fmt.Sprintf(f.format, y))
		if x == 0 || y == 0 || (d.Machines != "" && !f.relative) {
			fmt.Fprintf(w, "%8s\n", "–")
			continue
		}
		d.Ratios[f.name] = y / x
		fmt.Fprintf(w, "%8.3f\n", y/x)
	}
	if d.Machines != "" {
		fmt.Fprintf(w, "different machines (%s): compared by the ratios to their own peer and peak only\n", d.Machines)
	}
	return d, nil
}
