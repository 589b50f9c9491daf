package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"

	"so8t/evaluation"
	"so8t/quadruple"
)

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": evaluation.Percent,
	"shade":   shade,
	"mark":    markLabel,
	"spell":   func(key string) string { return figureNames[key] },
}).Parse(pageText))

// figureNames are the names of the tested figures in texts.
var figureNames = map[string]string{"accuracy": "accuracy", "macro_f1": "macro F1", "false_allow_rate": "false allow"}

// page is the template's data, already formatted.
type page struct {
	Style    template.CSS
	Verdict  string
	Headline string
	Lead     string
	Checks   []evaluation.Check

	Tiles     []tile
	Figures   []figureRow
	Matrices  []matrix
	Classes   []classRow
	Family    []evaluation.Tested
	McNemar   evaluation.McNemar
	Bootstrap evaluation.Bootstrap
	Alpha     float64
	Plots     map[string]template.HTML

	Changed  evaluation.Changed
	Improved []example
	Worsened []example
	Run      []Detail
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
// html/template; only this package's own style and plots go in as they are.
func renderPage(r *evaluation.Result, d Data, plots []plotFile) ([]byte, error) {
	p := page{
		Style:    template.CSS(pageStyle),
		Verdict:  r.Verdict,
		Headline: "Promote the retrained model",
		Lead:     lead(r),
		Checks:   r.Checks,
		Tiles:    tilesOf(r),
		Figures:  figureRows(r),
		Matrices: []matrix{{"base", r.Base.Confusion}, {"retrained", r.Retrained.Confusion}},
		Family:   r.Family, McNemar: r.McNemar, Bootstrap: r.Bootstrap, Alpha: r.Options.Alpha,
		Plots:    map[string]template.HTML{},
		Changed:  r.Changed,
		Improved: examplesOf(r.Changed.ImprovedExamples),
		Worsened: examplesOf(r.Changed.WorsenedExamples),
		Run:      runDetails(r, d),
		Labels:   quadruple.Labels,
	}
	if r.Verdict != evaluation.Promote {
		p.Headline = "Do not promote the retrained model"
	}
	for i := range quadruple.Labels {
		p.Classes = append(p.Classes, classRow{r.Base.PerClass[i], r.Retrained.PerClass[i]})
	}
	for _, plot := range plots {
		p.Plots[plot.Name] = template.HTML(plot.SVG)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
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
