package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"

	"so8t/evaluation"
	"so8t/page"
	"so8t/quadruple"
)

var (
	//go:embed parts.html.tmpl
	partsText string
	//go:embed decided.html.tmpl
	decidedText string
	//go:embed plain.html.tmpl
	plainText string

	decidedPage = page.Template(template.FuncMap{
		"percent": evaluation.Percent,
		"shade":   shade,
		"mark":    markLabel,
		"spell":   func(key string) string { return figureNames[key] },
	}, partsText, decidedText)
	plainPage = page.Template(nil, partsText, plainText)
)

// figureNames are the names of the tested figures in texts.
var figureNames = map[string]string{"accuracy": "accuracy", "macro_f1": "macro F1", "false_allow_rate": "false allow"}

// common is what every report shows, already formatted.
type common struct {
	Verdict  string
	Headline string
	Lead     string
	Checks   []evaluation.Check
	Tiles    []tile
	Figures  []figureRow
	Apart    *apart
	Plots    map[string]template.HTML
	Run      []Detail
}

// decided is what a report on decisions shows beside.
type decided struct {
	common
	Matrices  []matrix
	Classes   []classRow
	Family    []evaluation.Tested
	McNemar   evaluation.McNemar
	Bootstrap evaluation.Bootstrap
	Alpha     float64

	Changed  evaluation.Changed
	Improved []example
	Worsened []example
	Labels   [4]string
}

type tile struct {
	Name, Base, Retrained, Change, Interval, Means string
	Better                                         bool
	Worse                                          bool
}

type matrix struct {
	Name   string
	Counts evaluation.Confusion
}

type classRow struct{ Base, Retrained evaluation.Class }

// renderPage fills the template. Everything that a model or a dataset wrote is escaped by
// html/template; only this program's own style and plots go in as they are.
func renderPage(r *evaluation.Result, d Data, plots []plotFile) ([]byte, error) {
	c := common{Verdict: r.Verdict, Headline: "Promote the retrained model", Checks: r.Checks, Apart: apartOf(r), Plots: map[string]template.HTML{},
		Run: runDetails(r, d)}
	if r.Verdict != evaluation.Promote {
		c.Headline = "Do not promote the retrained model"
	}
	for _, plot := range plots {
		c.Plots[plot.Name] = template.HTML(plot.SVG)
	}
	var out bytes.Buffer
	if r.Plain() {
		c.Lead, c.Tiles, c.Figures = plainLead(r), plainTiles(r), plainRows(r)
		err := plainPage.Execute(&out, plain{c, r.Loss, readingsOf(r.Answers)})
		return out.Bytes(), err
	}
	c.Lead, c.Tiles, c.Figures = lead(r), tilesOf(r), figureRows(r)
	p := decided{
		common:   c,
		Matrices: []matrix{{"base", r.Base.Confusion}, {"retrained", r.Retrained.Confusion}},
		Family:   r.Family, McNemar: r.McNemar, Bootstrap: r.Bootstrap, Alpha: r.Options.Alpha,
		Changed:  r.Changed,
		Improved: examplesOf(r.Changed.ImprovedExamples),
		Worsened: examplesOf(r.Changed.WorsenedExamples),
		Labels:   quadruple.Labels,
	}
	for i := range quadruple.Labels {
		p.Classes = append(p.Classes, classRow{r.Base.PerClass[i], r.Retrained.PerClass[i]})
	}
	err := decidedPage.Execute(&out, p)
	return out.Bytes(), err
}

// shade is the CSS class of a matrix's cell: whether the decision is right, and in five steps its share of the row.
func shade(c evaluation.Confusion, gold, decided int) string {
	if c[gold][decided] == 0 {
		return "none"
	}
	step := min(4, int(5*c.Share(gold, decided)))
	if gold == decided {
		return fmt.Sprintf("right s%d", step)
	}
	return fmt.Sprintf("wrong s%d", step)
}

// markLabel is the CSS class of a label.
func markLabel(label string) string {
	if quadruple.LabelIndex(label) < 0 {
		return "label"
	}
	return "label " + strings.ToLower(label)
}

// excerptRunes limits a text in the report; evaluation/*.json has the whole.
const excerptRunes = 400

func excerpt(text string) string {
	if utf8.RuneCountInString(text) <= excerptRunes {
		return text
	}
	return string([]rune(text)[:excerptRunes]) + " …"
}
