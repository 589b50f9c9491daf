package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxReadmeLines = 130
	variablesTable = "docs/operate.md" // one row for each variable
)

// documents are the pages that people read.
func documents(t *testing.T) (pages []string) {
	t.Helper()
	for _, file := range repositoryFiles(t) {
		if filepath.Ext(file) == ".md" && !slices.Contains(strings.Split(file, "/"), "testdata") {
			pages = append(pages, file)
		}
	}
	for _, page := range []string{"README.md", variablesTable} {
		if !slices.Contains(pages, page) {
			t.Fatalf("%s is missing", page)
		}
	}
	return pages
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPagesAreShort(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(read(t, "README.md"), "\n"), "\n")
	if len(lines) > maxReadmeLines {
		t.Errorf("README.md has %d lines, more than %d: the rest belongs in docs/", len(lines), maxReadmeLines)
	}
	for _, page := range documents(t) {
		for i, line := range strings.Split(read(t, page), "\n") {
			row := strings.HasPrefix(line, "|") && page != "README.md" // a table's row cannot be wrapped
			if n := columns(line); n > maxColumns && !row {
				t.Errorf("%s:%d has %d columns, more than %d", page, i+1, n, maxColumns)
			}
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, page := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s: no such heading", page, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no page has a link")
	}
}

// anchors are the headings of a page as GitHub names them.
func anchors(text string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

// readings are the ways in which sources read a variable: Go and C++, kong's tags, constants that Go passes on, Python, shell
// and Compose.
var readings = regexp.MustCompile(`(?:[gG]etenv|LookupEnv)\(\s*"(SO8T_\w+)"|env:"(SO8T_\w+)"|= "(SO8T_\w+)"|environ\W+(?:get\W+)?(SO8T_\w+)|\$\{?(SO8T_\w+)`)

var tableRow = regexp.MustCompile("(?m)^\\| `(SO8T_\\w+)` \\|")

func TestEveryVariableIsInTheTable(t *testing.T) {
	reader := map[string]string{}
	for _, file := range codeFiles(t) {
		for _, m := range readings.FindAllStringSubmatch(read(t, file), -1) {
			reader[strings.Join(m[1:], "")] = file
		}
	}
	rows := map[string]bool{}
	for _, m := range tableRow.FindAllStringSubmatch(read(t, variablesTable), -1) {
		if rows[m[1]] {
			t.Errorf("%s has two rows for %s", variablesTable, m[1])
		}
		rows[m[1]] = true
		if reader[m[1]] == "" {
			t.Errorf("%s has a row for %s, which nothing reads", variablesTable, m[1])
		}
	}
	for name, file := range reader {
		if !rows[name] {
			t.Errorf("%s reads %s, which has no row in %s", file, name, variablesTable)
		}
	}
}

// A file that a page names in code, such as `configs/check.go`.
var sourceFile = regexp.MustCompile("`((?:[a-z0-9_]+/)*[A-Za-z0-9_]+\\.(?:go|h|def|cu|cpp|sh|py|ya?ml|md))`")

func TestEveryFileThatAPageNamesIsThere(t *testing.T) {
	files := 0
	for _, page := range documents(t) {
		for _, m := range sourceFile.FindAllStringSubmatch(read(t, page), -1) {
			files++
			_, err := os.Stat(m[1])
			if _, beside := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil && beside != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if files == 0 {
		t.Error("no page names a file")
	}
}

var (
	named  = regexp.MustCompile("(?m)(?:`|^    |^```.*\n|&& )(?:[A-Z_]+=\\S+ )*make ([a-z][a-z-]*)")
	target = regexp.MustCompile(`(?m)^([a-z][a-z -]*):[^=]`)
	phony  = regexp.MustCompile(`(?m)^\.PHONY: (.+)$`)
	helped = regexp.MustCompile(`(?m)^## ([a-z][a-z-]*) {2,}\S`)
)

func TestEveryMakeTargetThatAPageNamesIsThere(t *testing.T) {
	targets := targetsOf(read(t, "Makefile"))
	mentions := 0
	for _, page := range documents(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, page), -1) {
			if mentions++; !slices.Contains(targets, m[1]) {
				t.Errorf("%s names make %s, which the Makefile does not have", page, m[1])
			}
		}
	}
	if mentions == 0 {
		t.Error("no page names a target")
	}
}

func targetsOf(makefile string) (targets []string) {
	for _, m := range target.FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, strings.Fields(m[1])...)
	}
	return targets
}

func TestHelpNamesEveryTarget(t *testing.T) {
	makefile := read(t, "Makefile")
	var want, got []string
	for _, m := range phony.FindAllStringSubmatch(makefile, -1) {
		want = append(want, strings.Fields(m[1])...)
	}
	for _, m := range helped.FindAllStringSubmatch(makefile, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("make help names %v, the Makefile's targets are %v", got, want)
	}
}

var (
	workerCommand = regexp.MustCompile(`bin/worker ([a-z]+)`)
	kongCommand   = regexp.MustCompile("(?m)^\\s+([A-Z][a-z]+)\\s+\\S+\\s+`cmd:\"")
)

func TestEveryCommandOfTheWorkerThatAPageNamesIsThere(t *testing.T) {
	var commands []string
	for _, m := range kongCommand.FindAllStringSubmatch(read(t, "worker/main.go"), -1) {
		commands = append(commands, strings.ToLower(m[1]))
	}
	for _, page := range documents(t) {
		for _, m := range workerCommand.FindAllStringSubmatch(read(t, page), -1) {
			if !slices.Contains(commands, m[1]) {
				t.Errorf("%s names bin/worker %s, which is none of %v", page, m[1], commands)
			}
		}
	}
}
