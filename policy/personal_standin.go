package policy

import (
	"regexp"
	"unicode/utf8"
)

type found struct {
	kind       string
	start, end int
}

var standins = map[string]*regexp.Regexp{"email": regexp.MustCompile(`[a-z]+@[a-z.]+`), "phone": regexp.MustCompile(`0\d-\d{4}-\d{4}`),
	"credit_card": regexp.MustCompile(`\d{4} \d{4} \d{4} \d{4}`)}

func findPersonal(text string) (all []found) {
	for _, kind := range Kinds() {
		if standins[kind] == nil {
			continue
		}
		for _, at := range standins[kind].FindAllStringIndex(text, -1) {
			all = append(all, found{kind, at[0], at[1]})
		}
	}
	return all
}

func maskPersonal(text string, mask func(kind string) bool) (masked string, masks []Mask) {
	last := 0
	for _, f := range findPersonal(text) {
		if !mask(f.kind) || f.start < last {
			continue
		}
		masked += text[last:f.start] + "[X]"
		last = f.end
		start := utf8.RuneCountInString(text[:f.start])
		masks = append(masks, Mask{f.kind, Span{Start: start, Length: utf8.RuneCountInString(text[f.start:f.end])}})
	}
	return masked + text[last:], masks
}

func Kinds() []string {
	return []string{"bank_account", "corporate_number", "credit_card", "driver_license", "email", "ip_address", "my_number", "passport",
		"pension_number", "phone", "postal_address", "residence_card"}
}

var label = regexp.MustCompile(`【(社外秘|極秘)】`)

func confidentialAt(text string) (start, end int, marked bool) {
	at := label.FindStringIndex(text)
	if at == nil {
		return 0, 0, false
	}
	return at[0], at[1], true
}

func Confidential(text string) bool { _, _, marked := confidentialAt(text); return marked }

func Personal(text string) (kinds []string) {
	for _, f := range findPersonal(text) {
		kinds = append(kinds, f.kind)
	}
	return kinds
}

func Masked(text string) string {
	masked, _ := maskPersonal(text, func(string) bool { return true })
	return masked
}
