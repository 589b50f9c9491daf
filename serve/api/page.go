package api

import (
	"embed"
	"net/http"
	"strconv"
)

// The page asks /think of the server it comes from. It keeps a key that is typed in for as long as it is open.
//
//go:embed page
var pages embed.FS

// pagePolicy lets the page load its own files and ask its own server, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'"

// servePage serves one of the page's files.
func servePage(name, kind string) func(*Server, *exchange, string) *failure {
	text, err := pages.ReadFile("page/" + name)
	if err != nil {
		panic(err) // a file that is not in the program
	}
	return func(_ *Server, x *exchange, _ string) *failure {
		h := x.writer.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Length", strconv.Itoa(len(text)))
		x.begin(http.StatusOK, kind)
		_ = x.write(text)
		return nil
	}
}
