package record

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"so8t/quadruple"
)

// fold is what two values that differ only in case, width or the white space around them have in common.
func fold(value string) string { return strings.ToUpper(strings.TrimSpace(norm.NFKC.String(value))) }

// label is the class of a record. It is empty only where the options want none.
func (p *parser) label() (string, *fault) {
	m := p.find("four_class_label", []string{"four_class_label"})
	if m == nil {
		if p.FourClass {
			return "", &fault{MissingField, p.nameOf("four_class_label")}
		}
		return "", nil
	}
	class, f := p.class(m)
	if f != nil && !p.FourClass {
		return "", nil // counted as a column that nothing reads
	}
	m.read = f == nil
	return class, f
}

// class finds the class that a value stands for.
func (p *parser) class(m *member) (string, *fault) {
	value := ""
	switch kind := m.value.Kind(); {
	case kind == '"':
		value = string(unquote(m.value))
	case kind == '0':
		value = string(m.value)
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			if _, written := p.Labels[value]; !written {
				value = strconv.FormatFloat(n, 'f', -1, 64) // 1.0 is 1
			}
		}
	case kind == 't', kind == 'f':
		value = string(m.value)
	default:
		return "", wrongType(m)
	}
	if class, ok := p.Labels[value]; ok {
		return class, nil
	}
	if quadruple.IsLabel(value) {
		return value, nil
	}
	folded := fold(value)
	class, ok := p.labels[folded]
	if !ok {
		class, ok = folded, quadruple.IsLabel(folded)
	}
	switch {
	case ok:
		p.folded = value + " → " + class
		return class, nil
	case folded == "":
		return "", &fault{EmptyField, m.key}
	}
	return "", &fault{UnknownLabel, fmt.Sprintf("%s, not one of %s", quoted(value), strings.Join(quadruple.Labels[:], ", "))}
}

// nsfwWords are the values that mark a record, or say that it is not marked.
var nsfwWords = map[string]bool{
	"TRUE": true, "YES": true, "1": true, "NSFW": true, "UNSAFE": true, "ADULT": true, "EXPLICIT": true, "PORN": true, "SEXUAL": true,
	"SEXY": true, "HENTAI": true, "VIOLENCE": true, "GORE": true,
	"FALSE": false, "NO": false, "0": false, "SFW": false, "SAFE": false, "NORMAL": false, "NEUTRAL": false, "CLEAN": false, "NONE": false, "": false,
}

// nsfw reads a boolean, 0 or 1, or a word.
func (p *parser) nsfw() (bool, *fault) {
	m := p.take("nsfw", "nsfw")
	if m == nil {
		return false, nil
	}
	switch m.value.Kind() {
	case 't', 'f':
		return m.value.Kind() == 't', nil
	case '0':
		if n, err := strconv.ParseFloat(string(m.value), 64); err == nil && (n == 0 || n == 1) {
			return n == 1, nil
		}
		return false, &fault{WrongType, m.key + " is a number, but neither 0 nor 1"}
	case '"':
		word := fold(string(unquote(m.value)))
		if marked, known := nsfwWords[word]; known {
			return marked, nil
		}
		if strings.HasPrefix(word, "NSFW") { // nsfw_sexual …
			return true, nil
		}
		return false, &fault{WrongType, m.key + " is a word that says neither nsfw nor safe, as true, yes, nsfw, unsafe or false, no, sfw, safe do"}
	}
	return false, wrongType(m)
}

// nameOf is how a fault names a field that is missing.
func (p *parser) nameOf(field string) string {
	if column := p.Columns[field]; column != "" {
		return fmt.Sprintf("%s (column %q)", field, column)
	}
	return field
}
