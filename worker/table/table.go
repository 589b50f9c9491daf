// Package table prints columns on a terminal, East Asian characters at their width.
package table

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"so8t/page"
)

// Table prints rows in columns. Columns with a number or an amount stand to the right.
type Table struct {
	rows  [][]string
	right map[int]bool
}

// Amount is a number with its unit.
type Amount string

// Row adds a row. int64 is written with separators, text so that it cannot steer the terminal.
func (t *Table) Row(cells ...any) {
	if t.right == nil {
		t.right = map[int]bool{}
	}
	row := make([]string, len(cells))
	for i, cell := range cells {
		switch v := cell.(type) {
		case int64:
			row[i], t.right[i] = page.Number(v), true
		case Amount:
			row[i], t.right[i] = string(v), true
		default:
			row[i] = Printable(fmt.Sprint(v))
		}
	}
	t.rows = append(t.rows, row)
}

// Print writes the rows.
func (t *Table) Print(out io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-columns(cell))
			if t.right[i] {
				cell = space + cell
			} else {
				cell += space
			}
			line.WriteString("  " + cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	}
}

// columns is the width of text on a terminal: East Asian characters take two columns, combining ones none.
func columns(text string) (n int) {
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// Printable keeps what stands in the data from steering the terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) {
			return '·'
		}
		return r
	}, text)
}
