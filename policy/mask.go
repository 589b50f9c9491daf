package policy

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// maskAt returns the length of the mask that text begins with, 0 where it begins with none.
func maskAt(text string) int {
	if len(text) < 2 || !isUpper(rune(text[1])) {
		return 0
	}
	for _, k := range kinds {
		if strings.HasPrefix(text, k.mask) {
			return len(k.mask)
		}
	}
	return 0
}

// maskOf returns what replaces a kind. It holds no digit and no "<", and no rule finds it.
func maskOf(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.mask
		}
	}
	panic("policy: no kind " + name)
}

// Masked returns the text with its personal data replaced by [EMAIL], [PHONE] …
func Masked(text string) string {
	masked, _ := replace(text, findPersonal(text))
	return masked
}

// maskPersonal replaces the kinds that mask names, and says where they stood; the masks' Field is empty.
func maskPersonal(text string, mask func(kind string) bool) (masked string, masks []Mask) {
	var taken []found
	at, characters := 0, 0 // so that characters are counted once
	for _, f := range findPersonal(text) {
		if !mask(f.kind) {
			continue
		}
		taken = append(taken, f)
		characters += utf8.RuneCountInString(text[at:f.start])
		length := utf8.RuneCountInString(text[f.start:f.end])
		masks = append(masks, Mask{Kind: f.kind, Span: Span{Start: characters, Length: length}})
		characters += length
		at = f.end
	}
	masked, _ = replace(text, taken)
	return masked, masks
}

// edges map places of a masked text back: a replacement [start, end) of it stands for [from, to) of the text before.
type edges []struct{ start, end, from, to int }

// before returns where a byte of the masked text stood. Inside a mask it is an end of what was replaced.
func (e edges) before(at int, end bool) int {
	i := sort.Search(len(e), func(i int) bool { return e[i].end > at || end && e[i].end == at })
	if i < len(e) && at > e[i].start || i < len(e) && at == e[i].start && !end {
		if end {
			return e[i].to
		}
		return e[i].from
	}
	if i == 0 {
		return at
	}
	return at - e[i-1].end + e[i-1].to
}

// replace puts the masks in.
func replace(text string, all []found) (string, edges) {
	if len(all) == 0 {
		return text, nil
	}
	var b strings.Builder
	e := make(edges, len(all))
	at := 0
	for i, f := range all {
		b.WriteString(text[at:f.start])
		e[i].start, e[i].from, e[i].to = b.Len(), f.start, f.end
		b.WriteString(maskOf(f.kind))
		e[i].end = b.Len()
		at = f.end
	}
	b.WriteString(text[at:])
	return b.String(), e
}
