package report

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"so8t/evaluation"
	"so8t/page"
	"so8t/quadruple"
)

// plotFile is one drawing of the report, a file of its own beside it.
type plotFile struct {
	Name string // file name without .svg
	SVG  []byte
}

// plotsOf draws the plots for which result and losses have data.
func plotsOf(r *evaluation.Result, d Data) ([]plotFile, error) {
	type drawing struct {
		name string
		draw func() ([]byte, error)
	}
	loss := drawing{"loss", func() ([]byte, error) { return lossPlot(d.TrainLoss, d.ValidationLoss) }}
	drawings := []drawing{
		{"figures", func() ([]byte, error) { return figuresPlot(r) }},
		{"reliability", func() ([]byte, error) { return reliabilityPlot(r) }},
		{"confusion_base", func() ([]byte, error) { return confusionPlot("base", r.Base.Confusion, page.Grey) }},
		{"confusion_retrained", func() ([]byte, error) { return confusionPlot("retrained", r.Retrained.Confusion, page.Blue) }},
		loss,
	}
	if r.Plain() {
		drawings = []drawing{{"changes", func() ([]byte, error) { return changesPlot(r.Loss) }}, loss}
	}
	var out []plotFile
	for _, p := range drawings {
		svg, err := p.draw()
		if err != nil {
			return nil, fmt.Errorf("plot %s: %w", p.name, err)
		}
		if svg != nil {
			out = append(out, plotFile{p.name, svg})
		}
	}
	return out, nil
}

// lossPlot is nil without points. The bold line is the mean over a window of a tenth of them,
// centred, so that it does not lag behind.
func lossPlot(train, validation []Point) ([]byte, error) {
	train, validation = finite(train), finite(validation)
	if len(train) == 0 {
		return nil, nil
	}
	p := page.NewPlot("optimizer step", "loss, nats per token")
	raw, smooth := make(plotter.XYs, len(train)), make(plotter.XYs, len(train))
	for i, point := range train {
		raw[i] = plotter.XY{X: float64(point.Step), Y: point.Loss}
		side := min(len(train)/20, i, len(train)-1-i)
		mean := 0.0
		for _, near := range train[i-side : i+side+1] {
			mean += near.Loss / float64(2*side+1)
		}
		smooth[i] = plotter.XY{X: float64(point.Step), Y: mean}
	}
	thin, err := page.Line(raw, page.Pale, 0.8)
	if err != nil {
		return nil, err
	}
	bold, err := page.Line(smooth, page.Blue, 1.8)
	if err != nil {
		return nil, err
	}
	p.Add(thin, bold)
	p.Legend.Add("training, each point", thin)
	p.Legend.Add("training, running mean", bold)
	if len(validation) > 0 {
		points := make(plotter.XYs, len(validation))
		for i, v := range validation {
			points[i] = plotter.XY{X: float64(v.Step), Y: v.Loss}
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: page.Ink, Radius: 2.6, Shape: draw.CircleGlyph{}}
		p.Add(dots)
		p.Legend.Add("validation", dots)
	}
	p.Y.Min = math.Min(0, p.Y.Min)
	p.X.Min = 0
	p.X.Tick.Marker, p.Y.Tick.Marker = page.RoundTicks{}, page.RoundTicks{}
	return page.SVG(380, 250, "Loss of the training by optimizer step", p.Draw)
}

// finite leaves out what cannot be drawn.
func finite(points []Point) []Point {
	var out []Point
	for _, p := range points {
		if !math.IsNaN(p.Loss) && !math.IsInf(p.Loss, 0) {
			out = append(out, p)
		}
	}
	return out
}

// reliabilityPlot shows accuracy over confidence; a marker's area grows with its bin's samples.
func reliabilityPlot(r *evaluation.Result) ([]byte, error) {
	p := page.NewPlot("confidence of the decision", "share decided rightly")
	diagonal, err := page.Line(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, page.Grey, 0.8, 3, 3)
	if err != nil {
		return nil, err
	}
	p.Add(diagonal)
	for _, m := range []struct {
		name  string
		f     evaluation.Figures
		color color.RGBA
	}{{"base", r.Base, page.Grey}, {"retrained", r.Retrained, page.Blue}} {
		var points plotter.XYs
		var radii []vg.Length
		for _, b := range m.f.Calibration {
			if b.Count > 0 {
				points = append(points, plotter.XY{X: b.Confidence, Y: b.Accuracy})
				radii = append(radii, vg.Length(2+10*math.Sqrt(float64(b.Count)/float64(m.f.Samples))))
			}
		}
		joined, err := page.Line(points, m.color, 1.2)
		if err != nil {
			return nil, err
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyleFunc = func(i int) draw.GlyphStyle {
			return draw.GlyphStyle{Color: color.NRGBA{m.color.R, m.color.G, m.color.B, 0xc8}, Radius: radii[i], Shape: draw.CircleGlyph{}}
		}
		p.Add(joined, dots)
		p.Legend.Add(m.name, joined)
	}
	p.Legend.Add("perfectly calibrated", diagonal)
	p.Legend.Left = true
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1.05, 0, 1.3 // margin for a marker at 1, and for the legend above
	p.X.Tick.Marker, p.Y.Tick.Marker = page.PercentTicks{}, page.PercentTicks{}
	return page.SVG(380, 250, "Reliability: accuracy over confidence", p.Draw)
}

// figuresPlot draws each rate of base and retrained as two dots on one line.
func figuresPlot(r *evaluation.Result) ([]byte, error) {
	rows := []struct {
		name string
		of   func(evaluation.Figures) float64
	}{
		{"well-formed answers", func(f evaluation.Figures) float64 { return f.WellFormedRate }},
		{"over-refusal (lower is better)", func(f evaluation.Figures) float64 { return f.OverRefusalRate }},
		{"false allow (lower is better)", func(f evaluation.Figures) float64 { return f.FalseAllowRate }},
		{"macro F1", func(f evaluation.Figures) float64 { return f.MacroF1 }},
		{"accuracy", func(f evaluation.Figures) float64 { return f.Accuracy }},
	}
	p := page.NewPlot("", "")
	var names []string
	base, retrained := make(plotter.XYs, len(rows)), make(plotter.XYs, len(rows))
	for i, row := range rows {
		names = append(names, row.name)
		base[i] = plotter.XY{X: row.of(r.Base), Y: float64(i)}
		retrained[i] = plotter.XY{X: row.of(r.Retrained), Y: float64(i)}
		way, err := page.Line(plotter.XYs{base[i], retrained[i]}, page.Pale, 3)
		if err != nil {
			return nil, err
		}
		p.Add(way)
	}
	for _, m := range []struct {
		name   string
		points plotter.XYs
		color  color.Color
	}{{"base", base, page.Grey}, {"retrained", retrained, page.Blue}} {
		dots, err := plotter.NewScatter(m.points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: m.color, Radius: 4, Shape: draw.CircleGlyph{}}
		p.Add(dots)
		p.Legend.Add(m.name, dots)
	}
	p.NominalY(names...)
	p.X.Tick.Marker = page.PercentTicks{}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.02, 1.02, -0.6, float64(len(rows))+0.5
	return page.SVG(760, 170, "Rates of base and retrained model", p.Draw)
}

// confusionPlot is a heat map by share of the gold label, with counts.
func confusionPlot(name string, c evaluation.Confusion, full color.RGBA) ([]byte, error) {
	const width, height, left, top, bottom = 380, 250, 92, 34, 10
	style := func(x text.XAlignment, size vg.Length, ink color.Color) text.Style {
		return text.Style{Color: ink, Font: page.Font(size), XAlign: x, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler}
	}
	return page.SVG(width, height, "Confusion matrix of the "+name+" model", func(canvas draw.Canvas) {
		cellW, cellH := vg.Length(width-left-8)/4, vg.Length(height-top-bottom)/4
		at := func(row, column float64) vg.Point {
			return vg.Point{X: left + vg.Length(column)*cellW, Y: height - top - vg.Length(row)*cellH}
		}
		canvas.FillText(style(draw.XLeft, 9, page.Quiet), vg.Point{X: 4, Y: height - top/2 - 6}, "gold ↓  decided →")
		for i, label := range quadruple.Labels {
			canvas.FillText(style(draw.XCenter, 9, page.Quiet), vg.Point{X: at(0, float64(i)+0.5).X, Y: height - top/2 - 6}, label)
			canvas.FillText(style(draw.XRight, 9, page.Quiet), vg.Point{X: left - 8, Y: at(float64(i)+0.5, 0).Y}, label)
		}
		for gold, row := range c {
			for decided, count := range row {
				share := c.Share(gold, decided)
				a, b := at(float64(gold), float64(decided)), at(float64(gold+1), float64(decided+1))
				a.X, a.Y, b.X, b.Y = a.X+1, a.Y-1, b.X-1, b.Y+1
				canvas.FillPolygon(blend(full, share), []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}})
				ink := color.Color(page.Ink)
				if share > 0.55 {
					ink = color.White
				}
				canvas.FillText(style(draw.XCenter, 12, ink), at(float64(gold)+0.5, float64(decided)+0.5), fmt.Sprint(count))
			}
		}
	})
}

// blend goes from almost white at 0 to the full colour at 1.
func blend(full color.RGBA, share float64) color.RGBA {
	mix := func(v uint8) uint8 { return uint8(math.Round(0xf4 + share*(float64(v)-0xf4))) }
	return color.RGBA{mix(full.R), mix(full.G), mix(full.B), 0xff}
}
