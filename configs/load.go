package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// Error is a fault of a configuration: where, which key, what.
type Error struct {
	Where string // "file:line", or "set" for an override
	Key   string // dotted, empty where the whole document is at fault
	Text  string
}

func (e *Error) Error() string {
	if e.Key == "" {
		return e.Where + ": " + e.Text
	}
	key := e.Key
	if strings.ContainsFunc(key, unicode.IsControl) { // a YAML key may span lines; an error takes one
		key = strconv.Quote(key)
	}
	return e.Where + ": " + key + ": " + e.Text
}

// Load reads the file, applies the overrides of set (dotted key → value) and checks every
// value. All faults are reported, one a line.
func Load(path string, set map[string]any) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return Parse(path, text, set)
}

// Parse is Load for a text already read; name stands for the file in errors.
func Parse(name string, text []byte, set map[string]any) (*Config, error) {
	c := Default()
	err := decode(name, text, set, &c, func(d *decoder) {
		if !c.Data.FourClass && !d.set("data.use_quadruple_thinking") {
			c.Data.UseQuadrupleThinking = false
		}
		d.check(&c)
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// decode fills the struct behind into, which holds the defaults, from text and set. check is called if all values have
// the right type.
func decode(name string, text []byte, set map[string]any, into any, check func(*decoder)) error {
	root, err := document(name, text)
	if err != nil {
		return err
	}
	d := &decoder{file: name, lines: map[string]string{}}
	if root != nil {
		d.mapping(root, structOf(into), "")
	}
	for _, key := range sortedKeys(set) {
		d.override(structOf(into), key, set[key])
	}
	if len(d.faults) == 0 {
		check(d)
	}
	return errors.Join(d.faults...)
}

// document is the only document of the text; nil when the text is empty.
func document(name string, text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(name, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, &Error{Where: fmt.Sprintf("%s:%d", name, second.Line), Text: "a second document: one file holds one"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	return doc.Content[0], nil
}

// syntaxError rewrites "yaml: line 3: …" as "file:3: …".
func syntaxError(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		return &Error{Where: fmt.Sprintf("%s:%d", name, line), Text: strings.TrimSpace(text[strings.Index(text, ":")+1:])}
	}
	return &Error{Where: name, Text: text}
}

// override decodes one value of set into root as if it were in the file.
func (d *decoder) override(root target, key string, value any) {
	fault := func(format string, args ...any) {
		d.faults = append(d.faults, &Error{Where: "set", Key: key, Text: fmt.Sprintf(format, args...)})
	}
	node, err := nodeOf(value)
	if err != nil {
		fault("%v", err)
		return
	}
	target := root
	parts := strings.Split(key, ".")
	for i, part := range parts {
		next, ok := target.field(part)
		if !ok {
			fault("%s", unknown(part, target))
			return
		}
		if i == len(parts)-1 {
			inner := &decoder{file: "set", lines: d.lines, overriding: true}
			inner.value(node, next, key)
			d.faults = append(d.faults, inner.faults...)
			return
		}
		if next.Kind() == reflect.Map {
			inner := &decoder{file: "set", lines: d.lines, overriding: true}
			inner.entry(node, next, strings.Join(parts[:i+1], "."), strings.Join(parts[i+1:], "."))
			d.faults = append(d.faults, inner.faults...)
			return
		}
		if !next.isStruct() {
			fault("%s is no section", strings.Join(parts[:i+1], "."))
			return
		}
		target = next
	}
}

// nodeOf converts a value of set to a YAML tree. Going through YAML text would change strings: YAML reads some
// characters that JSON allows as line breaks (U+0085) and refuses others (U+007F).
func nodeOf(value any) (*yaml.Node, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var plain any
	if err := d.Decode(&plain); err != nil {
		return nil, err
	}
	return node(plain), nil
}

// node is that of nil, a bool, string, json.Number, []any or map[string]any.
func node(value any) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text} }
	switch v := value.(type) {
	case bool:
		return scalar("!!bool", strconv.FormatBool(v))
	case string:
		return scalar("!!str", v)
	case json.Number:
		if decimal.MatchString(v.String()) {
			return scalar("!!int", v.String())
		}
		return scalar("!!float", v.String())
	case []any:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			list.Content = append(list.Content, node(item))
		}
		return list
	case map[string]any:
		section := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range sortedKeys(v) {
			section.Content = append(section.Content, scalar("!!str", key), node(v[key]))
		}
		return section
	}
	return scalar("!!null", "null")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// unknown is the error for a key that does not exist, with the likeliest one or all.
func unknown(key string, in target) string {
	names := in.names()
	best, near := "", 1+len(key)/3
	for _, n := range names {
		d := distance(strings.ToLower(key), n)
		if strings.HasPrefix(key, n) || strings.HasPrefix(n, key) {
			d = min(d, 1)
		}
		if d < near {
			best, near = n, d
		}
	}
	if best != "" {
		return "unknown key; did you mean " + best + "?"
	}
	return "unknown key; known here: " + strings.Join(names, ", ")
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
