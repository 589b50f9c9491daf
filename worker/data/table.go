package data

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// table prints rows in columns. Columns with a number or an amount stand to the right.
type table struct {
	rows  [][]string
	right map[int]bool
}

// amount is a number with its unit.
type amount string

func (t *table) row(cells ...any) {
	if t.right == nil {
		t.right = map[int]bool{}
	}
	row := make([]string, len(cells))
	for i, cell := range cells {
		switch v := cell.(type) {
		case int64:
			row[i], t.right[i] = grouped(v), true
		case amount:
			row[i], t.right[i] = string(v), true
		default:
			row[i] = printable(fmt.Sprint(v))
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) print(out io.Writer) {
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

// printable keeps what stands in the data from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) {
			return '·'
		}
		return r
	}, text)
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// size writes a size as a person would.
func size(n int64) amount {
	value, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB"}
	for value >= 1000 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	if unit == 0 {
		return amount(fmt.Sprintf("%d B", n))
	}
	return amount(fmt.Sprintf("%.1f %s", value, units[unit]))
}

func percent(part, whole int64) amount {
	return amount(fmt.Sprintf("%.2f %%", 100*float64(part)/float64(max(whole, 1))))
}
