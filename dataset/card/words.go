package card

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"so8t/page"
)

// rules say in words why the policy removed a record.
var rules = map[string]string{
	"nsfw":            "it is marked nsfw (policy.nsfw: drop)",
	"license":         "its licence is not among policy.licenses",
	"license_missing": "it names no licence (policy.license_missing: drop)",
	"robots":          "the robots.txt of its source forbids it",
	"robots_missing":  "no robots.txt is stored for its source",
	"content_signal":  "its source signals ai-train=no",
	"confidential":    "its text is labelled confidential",
	"near_duplicate":  "it is nearly the same as a training record",
}

// kinds are the names of personal data.
var kinds = map[string]string{
	"email": "e-mail address", "phone": "phone number", "postal_address": "postal address", "my_number": "My Number",
	"corporate_number": "corporate number", "credit_card": "credit card number", "bank_account": "bank account", "passport": "passport number",
	"driver_license": "driver's licence number", "pension_number": "pension number", "residence_card": "residence card number",
	"ip_address": "IP address",
}

func inWords(key string, words map[string]string) string {
	if text, ok := words[key]; ok {
		return text
	}
	return strings.ReplaceAll(key, "_", " ")
}

func ruleInWords(rule string) string {
	if kind, ok := strings.CutPrefix(rule, "pii:"); ok {
		return "it holds personal data: " + inWords(kind, kinds)
	}
	return inWords(rule, rules)
}

// longest is how many rows of a table are shown; policy_report.json has them all.
const longest = 50

// ranked are the rows of a table of counts, the largest first.
func ranked(counts map[string]int64, row func(key string, n int64) []string) (rows [][]string, note string) {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, key := range keys[:min(longest, len(keys))] {
		rows = append(rows, row(key, counts[key]))
	}
	if more := len(keys) - longest; more > 0 {
		note = fmt.Sprintf("%s more: policy_report.json.", page.Number(int64(more)))
	}
	return rows, note
}

// share writes n of all as a percentage.
func share(n, all int64) string {
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(all))
}

// counted writes a number of things: 1 record, 2 records.
func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return page.Number(n) + " " + thing + "s"
}

func bytesInWords(n int64) string {
	if n < 1000 {
		return counted(n, "byte")
	}
	return page.Size(n)
}
