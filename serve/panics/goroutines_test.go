package panics_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Each goroutine of the server catches its panics before Go's runtime prints their values: the function that it begins
// with is written there, and defers this package's Recover or Caught, or a recover of its own.
func TestEveryGoroutineCatchesItsPanics(t *testing.T) {
	seen := 0
	for _, root := range []string{"..", "../../worker/serve"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "servetest") {
				return err
			}
			files := token.NewFileSet()
			parsed, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				begun := goroutine(n)
				if begun == nil {
					return true
				}
				seen++
				if literal, ok := begun.(*ast.FuncLit); !ok || !catches(literal.Body) {
					t.Errorf("%s begins a goroutine that does not catch its panics", files.Position(n.Pos()))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 8 {
		t.Errorf("%d goroutines were found", seen)
	}
}

// goroutine is the function that n begins in a goroutine of its own, nil if n begins none.
func goroutine(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call.Fun
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" && len(n.Args) == 1 {
			return n.Args[0]
		}
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "AfterFunc" && len(n.Args) == 2 {
			return n.Args[1]
		}
	}
	return nil
}

// catches reports whether a body defers what ends a panic.
func catches(body *ast.BlockStmt) (found bool) {
	for _, statement := range body.List {
		if deferred, ok := statement.(*ast.DeferStmt); ok {
			ast.Inspect(deferred, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					found = found || n.Name == "panics" || n.Name == "recover"
				}
				return true
			})
		}
	}
	return found
}
