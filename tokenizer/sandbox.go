package tokenizer

import (
	"errors"
	"fmt"
	"io"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// A template is untrusted, and Go cannot recover from exhausted stack or memory. transformers runs templates in Jinja's
// sandbox; these are its limits, and what prevents a template from calling itself.
const (
	maxTemplateBytes = 1 << 16 // the longest in use have 20 KB
	maxBrackets      = 256     // nested; each takes 7 KB of the parser's stack
	maxRange         = 100_000 // numbers of all ranges of one rendering; in Jinja's sandbox, of one range
)

// checkSize refuses a template that would exhaust the parser.
func checkSize(template string) error {
	if len(template) > maxTemplateBytes {
		return fmt.Errorf("%d bytes are not supported (%d are)", len(template), maxTemplateBytes)
	}
	depth := 0
	for i := range len(template) {
		switch template[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxBrackets {
			return fmt.Errorf("%d brackets one in the other are not supported (%d are)", depth, maxBrackets)
		}
	}
	return nil
}

// statements are those that end by themselves. include, import and extends would find nothing but the template itself;
// macros, blocks and recursive loops can call themselves.
func statements() *exec.ControlStructureSet {
	set := map[string]parser.ControlStructureParser{}
	for _, name := range []string{"if", "set", "raw", "with", "do", "filter", "break", "continue"} {
		set[name], _ = builtins.ControlStructures.Get(name)
	}
	loop, _ := builtins.ControlStructures.Get("for")
	set["for"] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		s, err := loop(p, args)
		if f, ok := s.(*controls.ForControlStructure); ok && err == nil && f.Recursive {
			return nil, errors.New("recursive loops are not supported")
		}
		return s, err
	}
	return exec.NewControlStructureSet(set)
}

// rangeFunction is Jinja's range(start, stop, step) for one rendering.
func rangeFunction() func(*exec.Evaluator, *exec.VarArgs) ([]int, error) {
	left := maxRange
	return func(_ *exec.Evaluator, params *exec.VarArgs) ([]int, error) {
		var n []int
		for _, arg := range params.Args {
			if !arg.IsInteger() {
				return nil, fmt.Errorf("range: %s is no whole number", arg.String())
			}
			n = append(n, arg.Integer())
		}
		start, stop, step := 0, 0, 1
		switch len(n) {
		case 1:
			stop = n[0]
		case 2:
			start, stop = n[0], n[1]
		case 3:
			start, stop, step = n[0], n[1], n[2]
		default:
			return nil, fmt.Errorf("range: %d numbers, want 1 to 3", len(n))
		}
		if step == 0 {
			return nil, errors.New("range: step is 0")
		}
		var list []int
		for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
			if left == 0 {
				return nil, fmt.Errorf("range: more than %d numbers", maxRange)
			}
			left--
			list = append(list, i)
		}
		return list, nil
	}
}

// limited fails once a template has written more than left bytes.
type limited struct {
	io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("the template writes without end")
	}
	return l.Writer.Write(p)
}
