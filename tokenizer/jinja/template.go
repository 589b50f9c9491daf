package jinja

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"
)

// Template is a parsed chat template. It is safe for concurrent use.
type Template struct {
	body       []stmt
	scope      *scope
	slots      int
	generation bool
}

// Limits bound one rendering. The zero value of a field stands for its default. Each grows with the size of the variables,
// so that a long conversation is rendered and a short one cannot be made into gigabytes.
type Limits struct {
	Steps  int64            // operations; a loop turn, an expression, or 64 bytes looked through count 1
	Memory int64            // bytes of all values and text ever made
	Output int64            // bytes of the rendered text
	Now    func() time.Time // the clock of strftime_now; nil: time.Now
}

// Defaults, and what each byte of the variables adds to them.
const (
	defaultSteps, stepsPerByte   = 4 << 20, 64
	defaultMemory, memoryPerByte = 64 << 20, 64
	defaultOutput, outputPerByte = 1 << 20, 32
	maxTemplateBytes             = 1 << 18 // the longest in use have 20 KB
)

// Rendering is a rendered text. Generated holds the byte offsets of what each {% generation %} block wrote, begin and end,
// in the order in which the blocks ended, as transformers' AssistantTracker counts them: a block inside a macro or
// a captured block begins where the text written so far ends.
type Rendering struct {
	Text      string
	Generated [][2]int
}

// Error is a fault of a template, or what raise_exception said.
type Error struct {
	Line    int // of the template, from 1
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

const maxMessage = 300 // bytes

// failAt ends parsing or rendering with an error of one line.
func failAt(line int, format string, args ...any) {
	message := strings.Join(strings.FieldsFunc(fmt.Sprintf(format, args...), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }), " ")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	panic(&Error{line, message})
}

// recovered turns a fault into the error that is returned. A fault of the engine itself is an error too: templates are
// strangers' text, and no text may end the process.
func recovered(s *state, err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		line := 0
		if s != nil {
			line = s.line
		}
		*err = &Error{line, fmt.Sprintf("%s: %.200v", engineFault, r)}
		if debugFaults {
			*err = fmt.Errorf("%w\n%s", *err, debug.Stack())
		}
	}
}

const engineFault = "the template engine failed"

var debugFaults = false // set by tests

// Parse reads a template. Errors are of type *Error.
func Parse(source string) (t *Template, err error) {
	defer recovered(nil, &err)
	if len(source) > maxTemplateBytes {
		failAt(1, "a template of %d bytes is not supported (%d are)", len(source), maxTemplateBytes)
	}
	if !utf8.ValidString(source) {
		failAt(1, "the template is not UTF-8")
	}
	p := &parser{tokens: tokenize(source)}
	t = &Template{body: p.parse()}
	for _, token := range p.tokens {
		if token.kind == nameToken && token.text == "generation" {
			t.generation = hasGeneration(p.tokens)
		}
	}
	root := &function{}
	y := newSymbols(nil, root)
	y.analyze(t.body)
	y.resolve(t.body)
	t.scope, t.slots = y.scope(), root.slots
	return t, nil
}

func hasGeneration(tokens []token) bool {
	for i := 1; i < len(tokens); i++ {
		if tokens[i-1].kind == blockBegin && tokens[i].kind == nameToken && tokens[i].text == "generation" {
			return true
		}
	}
	return false
}

// HasGeneration reports whether the template marks what the assistant generates with {% generation %}.
func (t *Template) HasGeneration() bool { return t.generation }

// Render writes the template with the given variables: nil, bool, int, int64, float64, string, []any, map[string]any (in
// the order of its keys) and Dict. Errors are of type *Error.
func (t *Template) Render(variables map[string]any, limits Limits) (r Rendering, err error) {
	s := &state{now: limits.Now}
	defer recovered(s, &err)
	s.convertAll(variables)
	s.steps = either(limits.Steps, defaultSteps) + stepsPerByte*s.input
	s.memory = either(limits.Memory, defaultMemory) + memoryPerByte*s.input
	s.output = either(limits.Output, defaultOutput) + outputPerByte*s.input
	s.frame = newFrame(t.slots, nil)
	s.enter(t.scope)
	s.run(t.body)
	text := string(s.out)
	return Rendering{text, spansIn(text, s.spans)}, nil
}

func either(n, otherwise int64) int64 {
	if n != 0 {
		return n
	}
	return otherwise
}

// generated is where a generation block began in the text, and what it wrote.
type generated struct {
	start int
	text  string
}

// spansIn converts a count of characters, which is what transformers keeps, into an end in bytes.
func spansIn(text string, blocks []generated) [][2]int {
	var spans [][2]int
	for _, g := range blocks {
		end := g.start + len(g.text)
		if !strings.HasPrefix(text[g.start:], g.text) { // inside captured text that was changed or written elsewhere
			end = g.start
			for range utf8.RuneCountInString(g.text) {
				_, n := utf8.DecodeRuneInString(text[end:])
				end += n
			}
		}
		spans = append(spans, [2]int{g.start, end})
	}
	return spans
}
