package configs

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder fills a Config or a Serving from a YAML tree. yaml.v3's own strict mode names no
// dotted keys, stops at the first fault, and reads 010 as 8.
type decoder struct {
	file       string
	lines      map[string]string // dotted key → where it was set
	overriding bool              // values come from set: no lines
	faults     []error
}

// target is a value of the struct that a node is decoded into.
type target struct{ reflect.Value }

// structOf is the struct that into points to.
func structOf(into any) target  { return target{reflect.ValueOf(into).Elem()} }
func (t target) isStruct() bool { return t.Kind() == reflect.Struct }
func (t target) tag(i int) string {
	name, _, _ := strings.Cut(t.Type().Field(i).Tag.Get("json"), ",")
	return name
}
func (t target) names() (out []string) {
	for i := range t.NumField() {
		out = append(out, t.tag(i))
	}
	return out
}

func (t target) field(name string) (target, bool) {
	for i := range t.NumField() {
		if t.tag(i) == name {
			return target{t.Field(i)}, true
		}
	}
	return target{}, false
}

func (d *decoder) where(n *yaml.Node) string {
	if d.overriding {
		return "set"
	}
	return fmt.Sprintf("%s:%d", d.file, n.Line)
}

// set reports whether the file or an override gives the key.
func (d *decoder) set(key string) bool {
	_, set := d.lines[key]
	return set
}

func (d *decoder) fault(n *yaml.Node, key, format string, args ...any) {
	d.faults = append(d.faults, &Error{Where: d.where(n), Key: key, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) mapping(n *yaml.Node, into target, at string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, at, "want a section of keys, got %s", describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := k.Value
		if at != "" {
			key = at + "." + key
		}
		if first, twice := seen[k.Value]; twice {
			d.fault(k, key, "set twice; first on line %d", first)
			continue
		}
		seen[k.Value] = k.Line
		field, ok := into.field(k.Value)
		if !ok {
			d.fault(k, key, "%s", unknown(k.Value, into))
			continue
		}
		d.value(v, field, key)
	}
}

var (
	booleans = map[string]bool{"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false}
	decimal  = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	floating = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
)

const noAnchors = "anchors and aliases are not read; write the value"

func (d *decoder) value(n *yaml.Node, into target, key string) {
	d.lines[key] = d.where(n)
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.fault(n, key, noAnchors)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.mapping(n, into, key)
	case reflect.Slice:
		if _, ok := into.Interface().(Paths); ok && n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			into.Set(reflect.ValueOf(Paths{n.Value}))
			return
		}
		d.list(n, into, key)
	case reflect.Map:
		d.texts(n, into, key)
	case reflect.String:
		what := "text"
		if into.Type() == reflect.TypeFor[Switch]() {
			what = "auto, true or false"
			if value, written := booleans[n.Value]; n.Tag == "!!bool" && written {
				into.SetString(strconv.FormatBool(value))
				return
			}
		}
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			d.fault(n, key, "want %s, got %s", what, describe(n))
			return
		}
		into.SetString(n.Value)
	case reflect.Bool:
		value, written := booleans[n.Value] // a tag may declare anything a boolean
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || !written {
			d.fault(n, key, "want true or false, got %s", describe(n))
			return
		}
		into.SetBool(value)
	case reflect.Int:
		d.integer(n, into, key)
	case reflect.Float64:
		number := n.Kind == yaml.ScalarNode && (n.Tag == "!!float" || n.Tag == "!!int") && floating.MatchString(n.Value)
		f, err := strconv.ParseFloat(n.Value, 64)
		if !number || err != nil {
			d.fault(n, key, "want a number, got %s", describe(n))
			return
		}
		into.SetFloat(f)
	default:
		d.fault(n, key, "no reader for type %s", into.Type()) // a field added without one: TestEveryKey sees it
	}
}

func (d *decoder) integer(n *yaml.Node, into target, key string) {
	if n.Kind != yaml.ScalarNode || (n.Tag != "!!int" && n.Tag != "!!float") {
		d.fault(n, key, "want a whole number, got %s", describe(n))
		return
	}
	if !decimal.MatchString(n.Value) {
		// JSON numbers, and so those of set, may write 3 as 3.0 or 3e0.
		if f, err := strconv.ParseFloat(n.Value, 64); d.overriding && err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			into.SetInt(int64(f))
			return
		}
		d.fault(n, key, "want a whole number in plain decimal digits, got %s", describe(n))
		return
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		d.fault(n, key, "%s is too large", n.Value)
		return
	}
	into.SetInt(i)
}

func (d *decoder) list(n *yaml.Node, into target, key string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		into.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		what := "a list"
		if _, ok := into.Interface().(Paths); ok {
			what = "text or a list of texts"
		}
		d.fault(n, key, "want %s, got %s", what, describe(n))
		return
	}
	items := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, target{items.Index(i)}, fmt.Sprintf("%s[%d]", key, i))
	}
	into.Set(items)
}

// texts decodes a map of texts, whose keys the user chooses. It replaces the default.
func (d *decoder) texts(n *yaml.Node, into target, key string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		into.SetZero()
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, key, "want a map of texts, got %s", describe(n))
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode || k.Anchor != "":
			d.fault(k, key, "want text as a key, got %s", describe(k))
		case seen[k.Value]:
			d.fault(k, key+"."+k.Value, "set twice")
		default:
			d.entry(v, into, key, k.Value)
		}
		seen[k.Value] = true
	}
}

// entry sets one entry of a map of texts and keeps the others.
func (d *decoder) entry(n *yaml.Node, into target, key, name string) {
	at := key + "." + name
	d.lines[at] = d.where(n)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Anchor != "" {
		d.fault(n, at, "want text, got %s", describe(n))
		return
	}
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	into.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(n.Value))
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return strconv.Quote(n.Value)
}
