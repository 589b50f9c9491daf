package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"so8t/disk"
)

// gpuSummary is what the estimate reads of a summary.json of tools/gpu.
type gpuSummary struct {
	Memory []bandwidthResult `json:"memory"`
	Steps  []struct {
		stepResult
		Stage string `json:"stage"`
	} `json:"steps"`
	Decode  []decodeResult `json:"decode"`
	Profile []struct {
		Stage     string  `json:"stage"`
		Operation string  `json:"operation"`
		Calls     int     `json:"calls"`
		MS        float64 `json:"ms"` // of all the stage's steps
	} `json:"profile"`
}

// comparisonLine is a figure that was estimated and measured.
type comparisonLine struct {
	What      string  `json:"what"`
	Unit      string  `json:"unit"`
	Estimated float64 `json:"estimated"`
	Measured  float64 `json:"measured"`
	Ratio     float64 `json:"measured_by_estimated"`
}

// against prints what was measured beside the estimate: whole steps first, then the operations, those that differ most first.
func (c *estimateCommand) against(out io.Writer) error {
	var m gpuSummary
	if err := disk.ReadJSON(c.Against, &m); err != nil {
		return err
	}
	whole, operations := c.hold(&m)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, table := range [][]comparisonLine{whole, operations} {
		fmt.Fprint(w, "\testimated\tmeasured\t\tmeasured ÷ estimated\t\n")
		for _, l := range table {
			fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%s\t%.2f\t\n", l.What, l.Estimated, l.Measured, l.Unit, l.Ratio)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printJSON(map[string]any{"card": c.Card, "whole": whole, "operations": operations})
}

func (c *estimateCommand) hold(m *gpuSummary) (whole, operations []comparisonLine) {
	add := func(list *[]comparisonLine, what, unit string, estimated, measured float64) {
		*list = append(*list, comparisonLine{what, unit, estimated, measured, measured / estimated})
	}
	for _, b := range m.Memory {
		add(&whole, "memory", "GB/s", cards[c.Card].bandwidth/1e9, b.BytesPerSecond/1e9)
	}
	for _, s := range m.Steps {
		e := c.like(&s.stepResult)
		add(&whole, fmt.Sprintf("%s, %d tokens", s.Stage, e.Row), "tokens/s", e.TokensPerSecond, s.TokensPerSecond)
		ms := map[string]float64{} // of one step
		for _, p := range m.Profile {
			if p.Stage == s.Stage {
				ms[p.Operation] += p.MS / float64(len(s.StepSeconds))
			}
		}
		if len(ms) == 0 {
			continue
		}
		estimated := map[string]float64{}
		for _, p := range e.Parts {
			estimated[p.Operation] += 1e3 * p.Seconds
		}
		for operation, got := range ms {
			if want := estimated[operation]; want > 0 {
				add(&operations, s.Stage+": "+operation, "ms", want, got)
			}
		}
	}
	for _, d := range m.Decode {
		like, name := *c, fmt.Sprintf("decoding %d", d.Batch)
		if like.Overlap = d.Overlap; d.Overlap {
			name += ", overlapping"
		}
		add(&whole, name, "tokens/s", like.decode(d.Batch, d.Prompt+d.New/2).TokensPerSecond, d.TokensPerSecond)
	}
	slices.SortFunc(operations, func(a, b comparisonLine) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Measured-b.Estimated), math.Abs(a.Measured-a.Estimated)), cmp.Compare(a.What, b.What))
	})
	return whole, operations
}

// like is the estimate of a step as it was measured; --attention says which one auto took.
func (c *estimateCommand) like(s *stepResult) stepEstimate {
	attention := s.Attention
	if attention == "auto" {
		attention = c.Attention
	}
	return c.step(s.StepTokens[0], s.Sequence, s.Recompute, s.Expanded, attention)
}
