package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	p := Template(template.FuncMap{"loud": strings.ToUpper}, `{{define "title"}}{{.}}{{end}}`, `{{define "content"}}<p>{{loud .}}</p>{{end}}`)
	var out bytes.Buffer
	if err := p.Execute(&out, "a</title><b>"); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if !strings.HasPrefix(page, "<!DOCTYPE html>\n") || !strings.Contains(page, "<title>a&lt;/title&gt;&lt;b&gt;</title>") ||
		!strings.Contains(page, "<p>A&lt;/TITLE&gt;&lt;B&gt;</p>") || !strings.Contains(page, "Noto Sans CJK JP") {
		t.Errorf("the page is %.2000s", page)
	}
}

// elements counts an SVG's elements by name, and fails on what is no XML.
func elements(t *testing.T, svg []byte, err error) map[string]int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
		t.Errorf("a coordinate is no number in %s", svg)
	}
	n := map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
		if start, ok := token.(xml.StartElement); ok {
			n[start.Name.Local]++
		}
	}
}

func TestBars(t *testing.T) {
	groups := []string{"許可 <b>", "DENY", "\"quoted\" & more"}
	svg, err := Bars(380, 250, Axes{`a "title" <with> marks`, "x", "y"}, groups,
		[]Series{{"training", Blue, []float64{0.5, 0.25, 0.25}}, {"テスト", Grey, []float64{0, 0.5, 0.5}}})
	n := elements(t, svg, err)
	if n["path"] < 6 || n["text"] < 5 || !strings.Contains(string(svg), "許可") || !strings.Contains(string(svg), "Noto Sans CJK JP") {
		t.Errorf("drawn: %v", n)
	}
	again, _ := Bars(380, 250, Axes{`a "title" <with> marks`, "x", "y"}, groups,
		[]Series{{"training", Blue, []float64{0.5, 0.25, 0.25}}, {"テスト", Grey, []float64{0, 0.5, 0.5}}})
	if !bytes.Equal(again, svg) {
		t.Error("the same bars are other bytes")
	}
}

// Parts may be empty, and a sample's loss may not change at all.
func TestPlotsOfNothing(t *testing.T) {
	svg, err := Bars(380, 250, Axes{}, []string{"a"}, []Series{{"none", Blue, []float64{0}}})
	elements(t, svg, err)
	svg, err = Histogram(380, 250, Axes{}, []Bin{{0, 0, 12}})
	elements(t, svg, err)
	svg, err = Histogram(380, 250, Axes{}, nil)
	elements(t, svg, err)
}

func TestHistogramColours(t *testing.T) {
	svg, err := Histogram(380, 250, Axes{X: "change"}, []Bin{{-0.2, -0.1, 3}, {-0.1, 0, 4}, {0, 0.1, 1}})
	elements(t, svg, err)
	text := strings.ToUpper(string(svg))
	if blue, grey := strings.Count(text, "FILL:#1D5FA8"), strings.Count(text, "FILL:#8A94A0"); blue != 2 || grey != 1 {
		t.Errorf("%d blue bars and %d grey ones of 2 and 1", blue, grey)
	}
}

func TestNamesAreThinned(t *testing.T) {
	names := make([]string, 40)
	ticks := nominal(names).Ticks(0, 0)
	if len(ticks) > mostTicks || len(ticks) < mostTicks/2 {
		t.Errorf("of 40 groups %d are named", len(ticks))
	}
}
