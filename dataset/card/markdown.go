package card

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// markdown is the card as GitHub Flavored Markdown.
func (c card) markdown() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n", escape(c.Title))
	for _, text := range c.Lead {
		fmt.Fprintf(&out, "\n%s\n", escape(text))
	}
	for _, s := range c.Sections {
		fmt.Fprintf(&out, "\n## %s\n", escape(s.Title))
		for _, text := range s.Says {
			fmt.Fprintf(&out, "\n%s\n", escape(text))
		}
		for _, p := range s.Plots {
			fmt.Fprintf(&out, "\n![%s](%s.svg)\n", escape(p.Alt), p.Name)
		}
		for _, t := range s.Tables {
			out.WriteString("\n")
			t.markdown(&out)
			if t.Note != "" {
				fmt.Fprintf(&out, "\n%s\n", escape(t.Note))
			}
		}
	}
	out.WriteString("\nThe numbers of this card, and the lines behind them: policy_report.json and manifest.json beside it. " +
		"No text of a record stands in any of them.\n")
	return out.Bytes()
}

func (t table) markdown(out *bytes.Buffer) {
	row := func(cells []string) { fmt.Fprintf(out, "| %s |\n", strings.Join(cells, " | ")) }
	head, rule := make([]string, len(t.Head)), make([]string, len(t.Head))
	for i, c := range t.Head {
		head[i], rule[i] = escape(c.Name), "---"
		if c.Number {
			rule[i] = "---:"
		}
	}
	row(head)
	row(rule)
	for _, r := range t.Rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			cells[i] = escape(cell)
		}
		row(cells)
	}
}

// escape takes every meaning from the characters of a text that Markdown or HTML would give them one.
func escape(text string) string {
	var out strings.Builder
	runes := []rune(text)
	within := func(i int) bool {
		return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || unicode.IsDigit(runes[i]))
	}
	for i, r := range runes {
		switch r {
		case '&':
			out.WriteString("&amp;")
		case '<':
			out.WriteString("&lt;")
		case '>':
			out.WriteString("&gt;")
		case '_':
			if !within(i-1) || !within(i+1) { // within a word it means nothing
				out.WriteByte('\\')
			}
			out.WriteRune(r)
		case '\\', '`', '*', '[', ']', '|', '~', '#', '!', '$':
			out.WriteByte('\\')
			out.WriteRune(r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// clean replaces what is no visible character: control characters could end a line, and marks of direction show a name as another.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
}
