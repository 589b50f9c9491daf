package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// normalizeStep is Prepend (old empty) or Replace.
type normalizeStep struct {
	prepend  string
	old, new string
}

// normalize applies the steps to one segment; an empty segment stays empty.
func normalize(steps []normalizeStep, s string) string {
	for _, step := range steps {
		switch {
		case step.old != "":
			s = strings.ReplaceAll(s, step.old, step.new)
		case s != "":
			s = step.prepend + s
		}
	}
	return s
}

// Limits on normalization: each step may lengthen the text, and steps multiply.
const (
	maxGrowth       = 16 // factor for a text, all Replace steps together
	maxPrependBytes = 64 // for a segment, all Prepend steps together
)

// checkGrowth refuses steps that would make texts many times longer.
func checkGrowth(key string, steps []normalizeStep) error {
	growth, prepended := 1, 0
	for _, step := range steps {
		if step.old != "" {
			growth *= max(1, (len(step.new)+len(step.old)-1)/len(step.old))
		}
		if prepended += len(step.prepend); growth > maxGrowth || prepended > maxPrependBytes {
			return fmt.Errorf("%s: steps that make a text more than %d times longer, or put more than %d bytes before it, are not supported", key,
				maxGrowth, maxPrependBytes)
		}
	}
	return nil
}

type patternJSON struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

type partJSON struct {
	Type        string            `json:"type"`
	Normalizers []json.RawMessage `json:"normalizers"`
	Decoders    []json.RawMessage `json:"decoders"`
	Prepend     string            `json:"prepend"`
	Pattern     patternJSON       `json:"pattern"`
	Content     string            `json:"content"`
	Start       int               `json:"start"`
	Stop        int               `json:"stop"`
}

func parseNormalizer(key string, raw json.RawMessage) ([]normalizeStep, error) {
	if isNull(raw) {
		return nil, nil
	}
	var part partJSON
	switch name := typeName(raw); name {
	case "Sequence", "Prepend", "Replace":
		if err := strict(raw, &part); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	default:
		return nil, fmt.Errorf("%s: %s is not supported (Sequence, Prepend, Replace are)", key, name)
	}
	switch part.Type {
	case "Prepend":
		return []normalizeStep{{prepend: part.Prepend}}, nil
	case "Replace":
		old, err := part.Pattern.literal(key)
		return []normalizeStep{{old: old, new: part.Content}}, err
	}
	var steps []normalizeStep
	for i, inner := range part.Normalizers {
		if typeName(inner) == "Sequence" {
			return nil, fmt.Errorf("%s.normalizers[%d]: a Sequence inside a Sequence is not supported", key, i)
		}
		more, err := parseNormalizer(fmt.Sprintf("%s.normalizers[%d]", key, i), inner)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

func (p patternJSON) literal(key string) (string, error) {
	if p.Regex != nil {
		return "", fmt.Errorf("%s.pattern: Regex is not supported (String is)", key)
	}
	if p.String == nil || *p.String == "" {
		return "", fmt.Errorf("%s.pattern.String: missing or empty", key)
	}
	return *p.String, nil
}
