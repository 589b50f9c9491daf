package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A reader takes in a file, a function and a line of these sizes without scrolling back.
const (
	maxFileLines     = 360
	maxFunctionLines = 80
	maxColumns       = 160
	tabColumns       = 4
)

// code matches the files that the limits hold for.
var code = regexp.MustCompile(`\.(go|cpp|cu|h|def|py|sh|css|tmpl|ya?ml)$|(^|/)Makefile$|^\.ci/run$`)

// notOurs are folders of code that is written elsewhere or by a program.
var notOurs = []string{"testdata/oracle/"}

// span is a function: where it begins, and its number of lines.
type span struct {
	file, name string
	line       int
	lines      int
}

// TestSizes holds every source file to the limits. With -v it also prints the repository's measures.
func TestSizes(t *testing.T) {
	var total, wide int
	var largest, longest span
	files := codeFiles(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		total += len(lines)
		if len(lines) > largest.lines {
			largest = span{file: file, lines: len(lines)}
		}
		if len(lines) > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", file, len(lines), maxFileLines)
		}
		for i, line := range lines {
			if n := columns(line); n > maxColumns {
				wide++
				t.Errorf("%s:%d has %d columns, more than %d", file, i+1, n, maxColumns)
			}
		}
		for _, f := range functions(t, file, text, lines) {
			if f.lines > longest.lines {
				longest = f
			}
			if f.lines > maxFunctionLines {
				t.Errorf("%s:%d %s has %d lines, more than %d", f.file, f.line, f.name, f.lines, maxFunctionLines)
			}
		}
	}
	if total == 0 || longest.lines == 0 {
		t.Fatal("no code was found")
	}
	packages, imports := arrows(t)
	t.Logf("\n%-27s %d\n%-27s %d\n%-27s %d\n%-27s %d\n%-27s %d, %s\n%-27s %d, %s:%d %s\n%-27s %d",
		"files", len(files), "lines", total, "packages", packages, "imports between packages", imports,
		"largest file", largest.lines, largest.file,
		"longest function", longest.lines, longest.file, longest.line, longest.name,
		fmt.Sprintf("lines over %d columns", maxColumns), wide)
}

// codeFiles lists what git tracks or would; outside a clone, what lies in the folder.
func codeFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, file := range repositoryFiles(t) {
		ours := !slices.ContainsFunc(notOurs, func(folder string) bool { return strings.HasPrefix(file, folder) })
		if ours && code.MatchString(file) {
			files = append(files, file)
		}
	}
	return files
}

func repositoryFiles(t *testing.T) (files []string) {
	t.Helper()
	if out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output(); err == nil {
		for _, file := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if _, err := os.Stat(file); err == nil { // else it is deleted, and not yet committed
				files = append(files, file)
			}
		}
		return files
	}
	made := []string{".git", "bin", "native/build", ".cuda", ".demo", ".gpu", ".against", ".venv", "checkpoints", "data", "models", "keys", "audit"}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(made, path):
			return fs.SkipDir
		case entry.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// columns is the width of a line in characters.
func columns(line string) (n int) {
	for _, r := range line {
		if n++; r == '\t' {
			n += tabColumns - 1
		}
	}
	return n
}

func functions(t *testing.T, file string, text []byte, lines []string) []span {
	switch filepath.Ext(file) {
	case ".go":
		return goFunctions(t, file, text)
	case ".cpp", ".cu", ".h":
		return cFunctions(file, lines)
	case ".py":
		return pythonFunctions(file, lines)
	case ".sh", "":
		return shellFunctions(file, lines)
	}
	return nil
}

func goFunctions(t *testing.T, file string, text []byte) (found []span) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			first, last := set.Position(f.Pos()).Line, set.Position(f.End()).Line
			found = append(found, span{file, f.Name.Name, first, last - first + 1})
		}
	}
	return found
}

var (
	notAFunction = regexp.MustCompile(`^(namespace|struct|class|enum|union|extern|typedef|public:|private:)`)
	cName        = regexp.MustCompile(`([A-Za-z_~][\w:~]*)\s*\(`)
)

// cFunctions relies on the format of the repository's C++: a function's head and its closing brace begin in the first
// column, and what is inside is indented. A head may take several lines.
func cFunctions(file string, lines []string) (found []span) {
	first := -1
	for i, line := range lines {
		switch {
		case line == "" || strings.ContainsRune(" \t#/", rune(line[0])): // inside, a directive, or a comment
		case line[0] == '}':
			if first >= 0 {
				found = append(found, span{file, cFunctionName(lines[first]), first + 1, i - first + 1})
			}
			first = -1
		case notAFunction.MatchString(line) || strings.HasSuffix(line, ";") || strings.HasSuffix(line, "}"):
			first = -1
		case first < 0 && strings.Contains(line, "("):
			first = i
		}
	}
	return found
}

// cFunctionName is the name before the parameters, attributes of CUDA apart.
func cFunctionName(head string) string {
	for _, m := range cName.FindAllStringSubmatch(head, -1) {
		if !strings.HasPrefix(m[1], "__") {
			return m[1]
		}
	}
	return strings.TrimSpace(head)
}

var pythonHead = regexp.MustCompile(`^(\s*)(?:async )?def (\w+)`)

func pythonFunctions(file string, lines []string) (found []span) {
	for i, line := range lines {
		m := pythonHead.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		last := i
		for j := i + 1; j < len(lines); j++ {
			if strings.TrimSpace(lines[j]) == "" {
				continue
			}
			indent := len(lines[j]) - len(strings.TrimLeft(lines[j], " \t"))
			if indent <= len(m[1]) && !strings.HasPrefix(strings.TrimSpace(lines[j]), ")") {
				break
			}
			last = j
		}
		found = append(found, span{file, m[2], i + 1, last - i + 1})
	}
	return found
}

var shellHead = regexp.MustCompile(`^(\w+)\(\) *\{`)

func shellFunctions(file string, lines []string) (found []span) {
	first, name := -1, ""
	for i, line := range lines {
		if m := shellHead.FindStringSubmatch(line); m != nil {
			first, name = i, m[1]
		}
		if first >= 0 && (line == "}" || i == first && strings.HasSuffix(line, "}")) {
			found = append(found, span{file, name, first + 1, i - first + 1})
			first = -1
		}
	}
	return found
}

// arrows counts the module's packages and the direct imports between them, tests apart.
func arrows(t *testing.T) (packages, imports int) {
	t.Helper()
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue
		}
		packages++
		for _, path := range p.Imports {
			if strings.HasPrefix(path, "so8t/") {
				imports++
			}
		}
	}
	return packages, imports
}

// A limit that measures wrongly holds nothing: what each language's measure finds in a small text.
func TestFunctionsAreMeasured(t *testing.T) {
	for file, test := range map[string]struct {
		text string
		want []span
	}{
		"a.go": {"package a\n\n// f has a comment.\nfunc f() {\n\tx := func() {\n\t}\n\tx()\n}\n", []span{{"a.go", "f", 4, 5}}},
		"a.cpp": {"namespace a {\n\nstruct s {\n    int x;\n};\n\nint f(int a,\n      int b) {\n    return a;\n}\n\n" +
			"}  // namespace a\n", []span{{"a.cpp", "f", 7, 4}}},
		"a.cu": {"__global__ void __launch_bounds__(32) k(int* x) {\n#pragma unroll\n    *x = 0;\n}\n\n" +
			"void declared(int);\n\nint g() {\n}\n",
			[]span{{"a.cu", "k", 1, 4}, {"a.cu", "g", 8, 2}}},
		"a.py": {"def f(\n    a,\n):\n    def g():\n        return 1\n\n    return g\n\n\nx = 1\n", []span{{"a.py", "f", 1, 7}, {"a.py", "g", 4, 2}}},
		"a.sh": {"f() {\n\techo\n}\ng() { echo; }\n", []span{{"a.sh", "f", 1, 3}, {"a.sh", "g", 4, 1}}},
	} {
		lines := strings.Split(strings.TrimSuffix(test.text, "\n"), "\n")
		if got := functions(t, file, []byte(test.text), lines); !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, want %+v", file, got, test.want)
		}
	}
	if got := columns("\té→x"); got != tabColumns+3 {
		t.Errorf("a tab and three characters are %d columns", got)
	}
}
