// Package page is the look that the program's HTML pages share: their frame, one stylesheet, and plots as SVG. A page is a single
// file that loads nothing and runs nothing.
package page

import (
	_ "embed"
	"html/template"
	"maps"
)

//go:embed frame.html.tmpl
var frame string

//go:embed page.css
var styleSheet string

// Template is a page. The texts define the templates "title" and "content", and whatever these use.
func Template(funcs template.FuncMap, texts ...string) *template.Template {
	all := template.FuncMap{"style": func() template.CSS { return template.CSS(styleSheet) }}
	maps.Copy(all, funcs)
	t := template.Must(template.New("frame").Funcs(all).Parse(frame))
	for _, text := range texts {
		template.Must(t.Parse(text))
	}
	return t
}
