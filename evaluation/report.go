package evaluation

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"so8t/quadruple"
)

//go:embed report.html.tmpl
var reportText string

//go:embed report.css
var reportStyle string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": percent,
	"shade":   shade,
	"mark":    markLabel,
	"spell":   func(key string) string { return figureNames[key] },
}).Parse(reportText))

// Names of what WriteReport puts into its folder, beside the plots.
const (
	ResultsName = "ab_test_results.json"
	ReportName  = "ab_test_report.html"
)

// ReportData is what the report shows beyond the comparison; every field may be empty.
type ReportData struct {
	BaseModel     string // path or name
	BaseDigest    string
	Dataset       string
	DatasetDigest string
	Config        string
	ConfigDigest  string
	WorkflowID    string
	StartedAt     time.Time // of the whole run
	FinishedAt    time.Time // of the whole run; zero: not shown

	TrainLoss      []Point
	ValidationLoss []Point
	Details        []Detail // further lines of "What was run"
}

// Detail is one line of "What was run".
type Detail struct{ Name, Value string }

// WriteReport puts ab_test_report.html, the plots and ab_test_results.json into dir, each whole
// or not at all, the results last: if they exist, so do the others.
func WriteReport(dir string, r *Result, d ReportData) error {
	plots, err := plotsOf(r, d)
	if err != nil {
		return fmt.Errorf("report %s: %w", dir, err)
	}
	page, err := renderReport(r, d, plots)
	if err != nil {
		return fmt.Errorf("report %s: %w", dir, err)
	}
	for _, p := range plots {
		if err := writeAtomic(filepath.Join(dir, p.Name+".svg"), put(p.SVG)); err != nil {
			return err
		}
	}
	if err := writeAtomic(filepath.Join(dir, ReportName), put(page)); err != nil {
		return err
	}
	return writeAtomic(filepath.Join(dir, ResultsName), func(w io.Writer) error { return encodeJSON(w, r) })
}

func put(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// page is the template's data, already formatted.
type page struct {
	Style    template.CSS
	Verdict  string
	Headline string
	Lead     string
	Checks   []Check

	Tiles     []tile
	Figures   []figureRow
	Matrices  []matrix
	Classes   []classRow
	Family    []Tested
	McNemar   McNemar
	Bootstrap Bootstrap
	Alpha     float64
	Plots     map[string]template.HTML

	Changed  Changed
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
	Counts Confusion
	Sums   [4]int
}

type classRow struct{ Base, Retrained Class }

// renderReport fills the template. Everything that a model or a dataset wrote is escaped by
// html/template; only this package's own style and plots go in as they are.
func renderReport(r *Result, d ReportData, plots []Plot) ([]byte, error) {
	p := page{
		Style:    template.CSS(reportStyle),
		Verdict:  r.Verdict,
		Headline: "Promote the retrained model",
		Lead:     lead(r),
		Checks:   r.Checks,
		Tiles:    tilesOf(r),
		Figures:  figureRows(r),
		Matrices: []matrix{matrixOf("base", r.Base.Confusion), matrixOf("retrained", r.Retrained.Confusion)},
		Family:   r.Family, McNemar: r.McNemar, Bootstrap: r.Bootstrap, Alpha: r.Options.Alpha,
		Plots:    map[string]template.HTML{},
		Changed:  r.Changed,
		Improved: examplesOf(r.Changed.ImprovedExamples),
		Worsened: examplesOf(r.Changed.WorsenedExamples),
		Run:      runDetails(r, d),
		Labels:   quadruple.Labels,
	}
	if r.Verdict != Promote {
		p.Headline = "Do not promote the retrained model"
	}
	for i := range quadruple.Labels {
		p.Classes = append(p.Classes, classRow{r.Base.PerClass[i], r.Retrained.PerClass[i]})
	}
	for _, plot := range plots {
		p.Plots[plot.Name] = template.HTML(plot.SVG)
	}
	var out bytes.Buffer
	if err := reportTemplate.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func matrixOf(name string, c Confusion) matrix {
	m := matrix{Name: name, Counts: c}
	for i := range c {
		m.Sums[i] = c.support(i)
	}
	return m
}

// shade is a cell's class: how much of its row stands in it, and whether that is right.
func shade(gold, decided, count, sum int) string {
	if count == 0 {
		return "none"
	}
	step := min(4, int(5*rate(count, sum)))
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
