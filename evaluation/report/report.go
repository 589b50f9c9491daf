// Package report shows the comparison of two models to people: a page with plots, beside it the results as JSON,
// and a table for a terminal.
package report

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"so8t/disk"
	"so8t/evaluation"
)

// Names of what Write puts into its folder, beside the plots.
const (
	ResultsName = "ab_test_results.json"
	PageName    = "ab_test_report.html"
)

// Data is what the report shows beyond the comparison; every field may be empty.
type Data struct {
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

// Point is the loss at an optimizer step.
type Point struct {
	Step int
	Loss float64
}

// Detail is one line of "What was run".
type Detail struct {
	Name, Value string
	Link        string // of the value, relative to the report; empty: none
}

// Write puts ab_test_report.html, the plots and ab_test_results.json into dir, each whole or not at all, the results
// last: if they exist, so do the others. It creates dir if need be.
func Write(dir string, r *evaluation.Result, d Data) error {
	plots, err := plotsOf(r, d)
	if err != nil {
		return fmt.Errorf("report %s: %w", dir, err)
	}
	page, err := renderPage(r, d, plots)
	if err != nil {
		return fmt.Errorf("report %s: %w", dir, err)
	}
	if err := disk.MakeDir(dir); err != nil {
		return fmt.Errorf("report %s: %w", dir, err)
	}
	for _, p := range plots {
		if err := replace(filepath.Join(dir, p.Name+".svg"), p.SVG); err != nil {
			return err
		}
	}
	if err := replace(filepath.Join(dir, PageName), page); err != nil {
		return err
	}
	return disk.ReplaceJSON(filepath.Join(dir, ResultsName), r.Document())
}

func replace(path string, data []byte) error {
	return disk.Replace(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
