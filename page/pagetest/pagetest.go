// Package pagetest checks pages in tests.
package pagetest

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Golden compares with a file of testdata, byte by byte; go test -run Golden -update writes it.
func Golden(t testing.TB, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: -update writes it", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(gotLines), len(wantLines)) {
		var a, b []byte
		if i < len(gotLines) {
			a = gotLines[i]
		}
		if i < len(wantLines) {
			b = wantLines[i]
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%s differs from line %d on:\n got %.400q\nwant %.400q", path, i+1, a, b)
		}
	}
}

// CheckHTML fails on tags that do not close in order, and on ids given twice.
func CheckHTML(t testing.TB, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	var open []string
	ids := map[string]bool{}
	void := []string{"meta", "br"}
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			if len(open) != 0 {
				t.Errorf("never closed: %v", open)
			}
			return
		case html.StartTagToken:
			token := z.Token()
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
			for _, a := range token.Attr {
				if a.Key == "id" {
					if ids[a.Val] {
						t.Errorf("id %s twice", a.Val)
					}
					ids[a.Val] = true
				}
				beside := a.Key == "href" && token.Data == "a" && strings.HasPrefix(a.Val, "../splits/") // another file of the run
				if a.Key == "src" || a.Key == "href" && !beside || strings.HasPrefix(a.Key, "on") {
					t.Errorf("<%s %s=%q>: the page must need nothing and run nothing", token.Data, a.Key, a.Val)
				}
			}
			if token.Data == "script" || token.Data == "link" || token.Data == "img" || token.Data == "iframe" {
				t.Errorf("<%s> in the page", token.Data)
			}
		case html.EndTagToken:
			name := z.Token().Data
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}
