package card

import (
	"fmt"
	"html/template"

	"so8t/page"
)

// plots are the label balance, where there are labels, and the lengths, where the report has them.
func (f facts) plots() (out []plot, err error) {
	colors := []page.Series{{Name: "training", Color: page.Blue}, {Name: "validation", Color: page.Grey}, {Name: "test", Color: page.Pale}}
	add := func(name, alt string, axes page.Axes, groups []string, value func(p part, group int) float64) {
		if err != nil || len(groups) == 0 {
			return
		}
		series := make([]page.Series, len(f.parts))
		for i, p := range f.parts {
			series[i] = colors[i]
			for g := range groups {
				series[i].Values = append(series[i].Values, value(p, g))
			}
		}
		var svg []byte
		if svg, err = page.Bars(380, 250, axes, groups, series); err == nil {
			out = append(out, plot{name, alt, template.HTML(svg)})
		}
	}
	of := func(n, all int64) float64 {
		if all == 0 {
			return 0
		}
		return float64(n) / float64(all)
	}
	add("data_card_labels", "Share of each label in each part.", page.Axes{Title: "Labels by part", Y: "share of the part's records"}, f.labels,
		func(p part, g int) float64 { return of(p.info.PerLabel[f.labels[g]], p.info.Samples) })
	var ends []string
	for _, p := range f.parts {
		for i := len(ends); i < len(p.lengths); i++ {
			ends = append(ends, fmt.Sprint("≤ ", p.lengths[i].UpTo))
		}
	}
	add("data_card_lengths", "Lengths of the rendered records in each part.",
		page.Axes{Title: "Lengths by part", X: "tokens", Y: "share of the part's records"}, ends,
		func(p part, g int) float64 {
			if g >= len(p.lengths) {
				return 0
			}
			return of(p.lengths[g].Samples, p.info.Samples)
		})
	return out, err
}
