package page

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// Axes name a plot's axes and its title, which a screen reader says.
type Axes struct{ Title, X, Y string }

// Series is one colour of bars, with a value for each group.
type Series struct {
	Name   string
	Color  color.Color
	Values []float64
}

// mostTicks is how many groups are named on an axis; of more, every second, third … is.
const mostTicks = 12

// offAxis keeps the text below the bars off their foot: gonum leaves room for ticks that are drawn, so that they are, unseen.
func offAxis(p *plot.Plot) {
	p.X.Tick.Length, p.X.Tick.LineStyle.Width, p.X.Tick.LineStyle.Color = 4, 0.5, color.Transparent
}

// Bars draws the series side by side in each group, in a canvas of width × height points. Values are shares of 1.
func Bars(width, height vg.Length, axes Axes, groups []string, series []Series) ([]byte, error) {
	p := NewPlot(axes.X, axes.Y)
	bar := vg.Length(0.72) * (width - 70) / vg.Length(max(1, len(groups)*len(series)))
	high := 0.0
	for i, s := range series {
		b, err := plotter.NewBarChart(plotter.Values(s.Values), bar)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", axes.Title, err)
		}
		b.Color, b.LineStyle.Width = s.Color, 0
		b.Offset = bar * (vg.Length(i) - vg.Length(len(series)-1)/2)
		p.Add(b)
		p.Legend.Add(s.Name, b)
		for _, v := range s.Values {
			high = math.Max(high, v)
		}
	}
	p.X.Tick.Marker = nominal(groups)
	offAxis(p)
	p.X.Min, p.X.Max = -0.6, float64(len(groups))-0.4
	if high == 0 {
		high = 1 // an axis needs a length
	}
	p.Y.Min, p.Y.Max = 0, 1.25*high // room for the legend
	p.Y.Tick.Marker = shareTicks{}
	return SVG(width, height, axes.Title, p.Draw)
}

// nominal marks groups by name.
type nominal []string

func (n nominal) Ticks(_, _ float64) []plot.Tick {
	every := (len(n) + mostTicks - 1) / mostTicks
	var out []plot.Tick
	for i := 0; i < len(n); i += every {
		out = append(out, plot.Tick{Value: float64(i), Label: n[i]})
	}
	return out
}

// shareTicks marks shares of 1 as percentages.
type shareTicks struct{}

func (shareTicks) Ticks(low, high float64) []plot.Tick {
	ticks := RoundTicks{}.Ticks(100*low, 100*high)
	for i := range ticks {
		ticks[i].Value /= 100
		ticks[i].Label += " %"
	}
	return ticks
}

// Bin is a bar of a histogram.
type Bin struct {
	From, To float64
	Count    int
}

// Histogram draws the bins: those below 0 in blue, the others in grey.
func Histogram(width, height vg.Length, axes Axes, bins []Bin) ([]byte, error) {
	p := NewPlot(axes.X, axes.Y)
	for _, b := range bins {
		fill := color.Color(Grey)
		if b.To <= 0 {
			fill = Blue
		}
		p.Add(&plotter.Histogram{
			Bins: []plotter.HistogramBin{{Min: b.From, Max: b.To, Weight: float64(b.Count)}}, Width: b.To - b.From, FillColor: fill,
		})
	}
	p.Y.Min = 0
	p.X.Tick.Marker, p.Y.Tick.Marker = RoundTicks{}, RoundTicks{}
	offAxis(p)
	return SVG(width, height, axes.Title, p.Draw)
}
