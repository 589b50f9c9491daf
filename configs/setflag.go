package configs

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Overrides are those of a command line: flags that stand for a key (empty: not given), and texts for ParseSet.
func Overrides(flags map[string]string, texts []string) (map[string]any, error) {
	set := map[string]any{}
	for key, value := range flags {
		if value != "" {
			set[key] = value
		}
	}
	for _, text := range texts {
		key, value, err := ParseSet(text)
		if err != nil {
			return nil, err
		}
		if _, twice := set[key]; twice {
			return nil, fmt.Errorf("set %s: given twice", key)
		}
		set[key] = value
	}
	return set, nil
}

// ParseSet parses a command line's "key=value"; the value has the type YAML gives it.
func ParseSet(text string) (key string, value any, err error) {
	key, written, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return "", nil, fmt.Errorf("set %q: want key=value, as in training.seed=1", text)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(written), &doc); err != nil {
		return "", nil, fmt.Errorf("set %s: %w", key, err)
	}
	if len(doc.Content) == 0 {
		return key, "", nil
	}
	node := doc.Content[0]
	if node.Kind == yaml.ScalarNode && node.Tag == "!!int" && !decimal.MatchString(node.Value) {
		return "", nil, fmt.Errorf("set %s: want a whole number in plain decimal digits, got %q", key, node.Value)
	}
	if node.Kind == yaml.ScalarNode && node.Tag == "!!timestamp" {
		return key, node.Value, nil // a date in a path
	}
	if what := unreadable(node); what != "" {
		return "", nil, fmt.Errorf("set %s: %s", key, what)
	}
	nameKeys(node)
	if err := node.Decode(&value); err != nil {
		return "", nil, fmt.Errorf("set %s: %w", key, err)
	}
	return key, value, nil
}

// nameKeys makes texts of the keys of maps, as the file's reader takes them: YAML reads 1 and true as other types, which no
// JSON object can have as keys.
func nameKeys(n *yaml.Node) {
	for i, inner := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && inner.Kind == yaml.ScalarNode {
			inner.Tag, inner.Style = "!!str", yaml.DoubleQuotedStyle
		}
		nameKeys(inner)
	}
}

// unreadable names what in a value is not supported: an alias may expand to any amount of
// text, and JSON cannot carry bytes.
func unreadable(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return noAnchors
	case n.Tag == "!!binary":
		return "!!binary is not read; write the text"
	}
	for _, inner := range n.Content {
		if what := unreadable(inner); what != "" {
			return what
		}
	}
	return ""
}
