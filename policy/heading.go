package policy

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// row is a line of a text, [start, end) in runes, as a row of a table.
type row struct {
	start, end int
	separator  rune // between its cells; 0 where there is none
	cells      int
	head       int // the row that its table begins with: lines side by side of as many cells
}

// separators part cells, in the order in which a line's is looked for.
var separators = []rune("|\t,;")

// maxHeads is how many lines of nothing but values may stand between a value and the line that names them.
const maxHeads = 20

// heading returns the naming word above the value at rune i: the name of its column in the first row of a table, or the end of the
// line before where the value begins its own line.
func (t *folded) heading(i int) (name, bool) {
	k, ok := t.cellBegin(i)
	if !ok {
		return name{}, false
	}
	at, r := t.rowAt(i)
	if r.head < at {
		columns := t.columns(r.head)
		if len(columns) > 0 {
			if n := columns[min(t.column(r, k), len(columns)-1)]; n.kind != "" {
				return n, true
			}
		}
	}
	if k > r.start {
		return name{}, false
	}
	for above := at - 1; above >= 0 && at-above <= maxHeads; above-- {
		if n, ok := t.nameOf(t.rows[above].start, t.rows[above].end); ok {
			return n, true
		}
		if !t.bare(t.rows[above]) {
			break
		}
	}
	return name{}, false
}

// rowAt returns the row in which rune i stands.
func (t *folded) rowAt(i int) (at int, r row) {
	if t.rows == nil {
		t.readRows()
	}
	at = sort.Search(len(t.rows), func(n int) bool { return t.rows[n].start > i }) - 1
	return at, t.rows[at]
}

// cellBegin returns where the cell or the line begins whose value begins at rune i; false where more than joining words and
// markup stand between.
func (t *folded) cellBegin(i int) (int, bool) {
next:
	for k, n := i, 0; n < window; n++ {
		c := t.peek(k - 1)
		switch {
		case c == '\n' || slices.Contains(separators, c):
			return k, true
		case c == '>':
			k = t.tagBegin(k)
			continue
		case strings.ContainsRune(" :=([{「『【\"'#.・-→*※■●◆▼", c):
			k--
			continue
		case isDigit(c): // no joining word ends so; most numbers stand among numbers
			return 0, false
		}
		for _, word := range joiners {
			if t.endsAt(k, word) {
				k -= utf8.RuneCountInString(word)
				continue next
			}
		}
		break
	}
	return 0, false
}

// tagBegin returns where the tag begins whose > stands before rune k, and k-1 where it closes none.
func (t *folded) tagBegin(k int) int {
	for i := k - 1; i > 0 && k-i < 2*window && t.r[i-1] != '\n' && t.r[i-1] != '>'; i-- {
		if t.r[i-1] == '<' {
			return i - 1
		}
	}
	return k - 1
}

// readRows notes the lines and the tables that they make up.
func (t *folded) readRows() {
	for start := 0; start <= len(t.r); {
		var counts [4]int
		end, quoted := start, false
		for ; end < len(t.r) && t.r[end] != '\n'; end++ {
			switch c := t.r[end]; c {
			case '"':
				quoted = !quoted
			case '|', '\t', ',', ';':
				if n := slices.Index(separators, c); n < 2 || !quoted {
					counts[n]++
				}
			}
		}
		r := row{start: start, end: end, head: len(t.rows)}
		for n, c := range counts {
			if c > 0 {
				r.separator, r.cells = separators[n], c+1
				break
			}
		}
		if n := len(t.rows); n > 0 && r.separator != 0 && t.rows[n-1].separator == r.separator && t.rows[n-1].cells == r.cells {
			r.head = t.rows[n-1].head
		}
		t.rows = append(t.rows, r)
		start = end + 1
	}
}

// cellEnd returns where the cell of a row that begins at rune i ends. Commas and semicolons in quotation marks end none.
func (t *folded) cellEnd(r row, i int) int {
	for quoted := false; i < r.end; i++ {
		switch c := t.r[i]; {
		case c == '"':
			quoted = !quoted
		case c == r.separator && (!quoted || c == '|' || c == '\t'):
			return i
		}
	}
	return i
}

// column counts the cells of a row before the one that begins at rune k.
func (t *folded) column(r row, k int) (n int) {
	for i := t.cellEnd(r, r.start); i < k; i = t.cellEnd(r, i+1) {
		n++
	}
	return n
}

// columns returns the names in the cells of the row that a table begins with; none where no cell holds one.
func (t *folded) columns(head int) []name {
	if names, ok := t.tables[head]; ok {
		return names
	}
	var names []name
	r, some := t.rows[head], false
	for i := r.start; i <= r.end; {
		end := t.cellEnd(r, i)
		n, ok := t.nameOf(i, end)
		some = some || ok
		names = append(names, n)
		i = end + 1
	}
	if !some {
		names = nil
	}
	if t.tables == nil {
		t.tables = map[int][]name{}
	}
	t.tables[head] = names
	return names
}

// nameOf returns the naming word that [start, end), a line or a cell, ends with but for punctuation, markup and a note in
// parentheses. No more than a few words of one sentence stand before it.
func (t *folded) nameOf(start, end int) (name, bool) {
	for end > start {
		if n, ok := t.nameEnding(end); ok {
			if n.start < start || n.start-start > window {
				return name{}, false
			}
			for i := start; i < n.start; i++ {
				if c := t.r[i]; strings.ContainsRune("。、,!?", c) || c == opaque || c == '.' && !isDigit(t.peek(i-1)) {
					return name{}, false
				}
			}
			return n, true
		}
		switch c := t.r[end-1]; {
		case c == '>':
			end = t.tagBegin(end)
			continue
		case strings.ContainsRune(" :?=)]}】」』*_#|\"'.-→↓▼は", c):
		case isWord(c) || isKanji(c) || isKatakana(c) || isHiragana(c):
			open := end - 1 // a note: 電話番号(ハイフンなし)
			for open > start && end-open < window && t.r[open] != '(' {
				open--
			}
			if t.r[open] != '(' || t.peek(end) != ')' {
				return name{}, false
			}
			end = open
			continue
		default:
			return name{}, false
		}
		end--
	}
	return name{}, false
}

// bare tells whether a line holds nothing but numbers, masks, punctuation and markup.
func (t *folded) bare(r row) bool {
	for end := r.end; end > r.start; end-- {
		switch c := t.r[end-1]; {
		case c == '>':
			end = t.tagBegin(end) + 1
		case isDigit(c), isHyphen(c), c == opaque, strings.ContainsRune(" +().:=|・*■●◆▼", c):
		default:
			return false
		}
	}
	return true
}
