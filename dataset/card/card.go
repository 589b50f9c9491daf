// Package card writes the data card of a split: what a person who must answer for the data wants to know of it, as a page
// with plots and as Markdown. It holds counts, names and digests, and never a text of a record.
package card

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"path/filepath"

	_ "embed"

	"so8t/dataset"
	"so8t/disk"
	"so8t/page"
)

// Names of what Write puts into the folder, beside the plots.
const (
	PageName     = "data_card.html"
	MarkdownName = "data_card.md"
)

//go:embed card.html.tmpl
var pageText string

var pageTemplate = page.Template(nil, pageText)

// card is the document that both forms show. All its texts are clean.
type card struct {
	Title    string
	Lead     []string
	Tiles    []tile
	Sections []section
}

type tile struct{ Name, Value, Means string }

// section shows, in this order, what of it is there.
type section struct {
	ID, Title string
	Says      []string // paragraphs
	Plots     []plot
	Tables    []table
}

type table struct {
	Head []column
	Rows [][]string
	Note string // below it
}

// column is a table's; Number sets it to the right.
type column struct {
	Name   string
	Number bool
}

type plot struct {
	Name string // of its file, without .svg
	Alt  string
	SVG  template.HTML
}

// Write puts data_card.html, data_card.md and the plots into dir, which must exist, each whole or not at all. The same split
// gives the same bytes.
func Write(dir string, m *dataset.Manifest, r *dataset.Report) error {
	c, err := newCard(m, r)
	if err != nil {
		return fmt.Errorf("data card %s: %w", dir, err)
	}
	var html bytes.Buffer
	if err := pageTemplate.Execute(&html, c); err != nil {
		return fmt.Errorf("data card %s: %w", dir, err)
	}
	type file struct {
		name string
		text []byte
	}
	files := []file{{PageName, html.Bytes()}, {MarkdownName, c.markdown()}}
	for _, s := range c.Sections {
		for _, p := range s.Plots {
			files = append(files, file{p.Name + ".svg", []byte(p.SVG)})
		}
	}
	for _, f := range files {
		err := disk.Replace(filepath.Join(dir, f.name), func(w io.Writer) error {
			_, err := w.Write(f.text)
			return err
		})
		if err != nil {
			return fmt.Errorf("data card: %w", err)
		}
	}
	return nil
}
