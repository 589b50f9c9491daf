package page

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"math"
	"regexp"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of every page, in tables and plots alike.
var (
	Ink   = color.RGBA{0x1f, 0x29, 0x33, 0xff}
	Quiet = color.RGBA{0x61, 0x6e, 0x7c, 0xff}
	Grid  = color.RGBA{0xe4, 0xe7, 0xeb, 0xff}
	Grey  = color.RGBA{0x8a, 0x94, 0xa0, 0xff}
	Blue  = color.RGBA{0x1d, 0x5f, 0xa8, 0xff}
	Pale  = color.RGBA{0xb8, 0xcf, 0xe8, 0xff}
)

// Font measures the text; what is drawn is the reader's own sans serif (svgFonts).
func Font(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// NewPlot is an empty plot in the pages' style.
func NewPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = Font(10)
		axis.Label.TextStyle.Color = Quiet
		axis.Label.Padding = 5
		axis.Tick.Label.Font = Font(9)
		axis.Tick.Label.Color = Quiet
		axis.Tick.LineStyle.Width = 0
		axis.Tick.Length = 3
		axis.LineStyle.Color = Grey
		axis.LineStyle.Width = 0.6
		axis.Padding = 0
	}
	p.Y.LineStyle.Width = 0
	p.Legend.TextStyle.Font = Font(9)
	p.Legend.TextStyle.Color = Ink
	p.Legend.Top = true
	p.Legend.Padding = 3
	p.Legend.ThumbnailWidth = 18
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal = draw.LineStyle{Color: Grid, Width: 0.6}
	p.Add(grid)
	return p
}

var (
	svgHead = regexp.MustCompile(`(?s)^.*?<svg width="[^"]*" height="[^"]*"`)
	svgFont = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;`)
)

// svgFonts ends in fonts with Japanese, for model names and labels that hold some.
const svgFonts = `font-family:'Helvetica Neue',Arial,'Noto Sans JP','Noto Sans CJK JP','Hiragino Sans','Yu Gothic',Meiryo,sans-serif;`

// SVG draws into a canvas of the given size in points. The result scales to the width of
// whatever holds it, and title is what a screen reader says.
func SVG(width, height vg.Length, title string, drawOn func(draw.Canvas)) ([]byte, error) {
	canvas := vgsvg.New(width, height)
	drawOn(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", title, err)
	}
	svg := svgHead.ReplaceAll(out.Bytes(), fmt.Appendf(nil, `<svg width="%g" height="%g" role="img" aria-label="%s"`, width, height, html.EscapeString(title)))
	return svgFont.ReplaceAll(svg, []byte(svgFonts)), nil
}

// Line is a plotted line without markers.
func Line(points plotter.XYs, c color.Color, width vg.Length, dashes ...vg.Length) (*plotter.Line, error) {
	l, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	l.LineStyle = draw.LineStyle{Color: c, Width: width, Dashes: dashes}
	return l, nil
}

// PercentTicks marks every fifth of a rate.
type PercentTicks struct{}

func (PercentTicks) Ticks(_, _ float64) []plot.Tick {
	var out []plot.Tick
	for i := range 6 {
		out = append(out, plot.Tick{Value: float64(i) / 5, Label: fmt.Sprintf("%d %%", 20*i)})
	}
	return out
}

// RoundTicks marks about five multiples of 1, 2 or 5 times a power of ten.
type RoundTicks struct{}

func (RoundTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, times := range []float64{5, 2} {
		if (high-low)/(times*step) >= 4 {
			step *= times
			break
		}
	}
	var out []plot.Tick
	for i := math.Ceil(low / step); i*step <= high*(1+1e-9); i++ {
		out = append(out, plot.Tick{Value: i * step, Label: strconv.FormatFloat(math.Round(i*step*1e9)/1e9, 'g', -1, 64)})
	}
	return out
}
