package dataset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"so8t/dataset/record"
	"so8t/quadruple"
)

// limits are the shares of records that may be lost.
type limits struct {
	bad     float64 // of the lines
	tooLong float64 // of the samples
	report  string  // path of policy_report.json; empty where none is written
}

// exceeds says whether n of whole are more than the fraction allows.
func exceeds(n, whole int64, fraction float64) bool {
	return float64(n) > fraction*float64(max(whole, 1))
}

// verdict returns the error of an input of which too much is bad or too long.
func (r *Report) verdict(l limits) error {
	r.BadFraction = float64(r.Bad) / float64(max(r.Lines, 1))
	samples := r.Lines - r.Bad - r.removals()
	r.TooLongFraction = float64(r.TooLong) / float64(max(samples, 1))
	var text string
	switch {
	case r.BadFraction > l.bad:
		text = r.badText(l.bad)
	case r.TooLongFraction > l.tooLong:
		text = fmt.Sprintf("%d of %d samples (%s) are longer than data.max_seq_length, which is %d tokens; the longest has %d. "+
			"data.max_too_long_fraction allows %s", r.TooLong, samples, percent(r.TooLongFraction), r.MaxSeqLength, r.Longest, percent(l.tooLong))
	default:
		return nil
	}
	if l.report != "" {
		text += "; all are listed in " + l.report
	}
	return &InputError{Err: errors.New(r.names() + ": " + text)}
}

func percent(fraction float64) string { return fmt.Sprintf("%.2f %%", 100*fraction) }

// names are the input files, the first by its path.
func (r *Report) names() string {
	if len(r.Inputs) > 1 {
		return fmt.Sprintf("%s and %d more", r.InputPath, len(r.Inputs)-1)
	}
	return r.InputPath
}

// badText names the cause, then how many lines it takes, then the first of them.
func (r *Report) badText(allowed float64) string {
	var causes, first []string
	for _, reason := range r.reasons() {
		causes = append(causes, fmt.Sprintf("%s (%s, %d)", r.wording(reason), reason, r.BadByReason[reason]))
	}
	if len(causes) == 1 {
		for reason := range r.BadByReason {
			causes[0] = fmt.Sprintf("%s (%s)", r.wording(reason), reason)
		}
	}
	for _, b := range r.BadLines[:min(5, len(r.BadLines))] {
		text := fmt.Sprintf("line %d", b.Line)
		if len(r.Inputs) > 1 && b.File < len(r.Inputs) {
			text = fmt.Sprintf("%s line %d", r.Inputs[b.File].Path, b.Line)
		}
		if len(causes) > 1 {
			text += " " + string(b.Reason)
		}
		if b.Detail != "" {
			text += " (" + b.Detail + ")"
		}
		first = append(first, text)
	}
	return fmt.Sprintf("%s; %d of %d lines (%s) are bad, data.max_bad_fraction allows %s; first: %s",
		strings.Join(causes, "; "), r.Bad, r.Lines, percent(r.BadFraction), percent(allowed), strings.Join(first, "; "))
}

// reasons are those that occur, the most frequent first.
func (r *Report) reasons() []record.Reason {
	return slices.SortedFunc(maps.Keys(r.BadByReason), func(a, b record.Reason) int {
		if n := r.BadByReason[b] - r.BadByReason[a]; n != 0 {
			return int(max(-1, min(n, 1)))
		}
		return strings.Compare(string(a), string(b))
	})
}

// wordings say what is wrong in plain words, and what is expected.
var wordings = map[record.Reason]string{
	record.LineTooLong:        "a line is longer than can be read",
	record.InvalidUTF8:        "the text is not UTF-8",
	record.InvalidJSON:        "a line is no JSON object",
	record.DuplicateKey:       "a record has a key twice",
	record.UnknownField:       "a record has a column that is not known, and data.unknown_columns is refuse",
	record.WrongType:          "a value is of the wrong type",
	record.MissingField:       "a field is missing: data.columns says which column holds it",
	record.EmptyField:         "a field is empty",
	record.UnknownLabel:       "the label is none of " + strings.Join(quadruple.Labels[:], ", ") + ": data.labels says which value stands for which",
	record.ControlToken:       "a text holds a token that marks or ends turns",
	record.MalformedQuadruple: "the output has some of the tags think-task, think-safety, think-policy, final, but not the form",
	record.DecisionMismatch:   "the output decides otherwise than four_class_label",
	"nsfw_allowed":            "a record marked nsfw has the label ALLOW: such records teach DENY, REFUSE and ESCALATION only",
	"source_url":              "source_url is no http or https address",
	"lookalike_tag":           "the answer holds a tag like <think-…> or <final>",
}

const noLabels = "records have no four_class_label: data.columns says which column holds it; data.four_class: false trains without labels"

// wording says what is wrong, and names the keys that help.
func (r *Report) wording(reason record.Reason) string {
	if reason == record.MissingField && r.lackLabels() {
		return noLabels
	}
	if text, ok := wordings[reason]; ok {
		return text
	}
	return strings.ReplaceAll(string(reason), "_", " ")
}

// lackLabels reports whether nearly all lines are bad for want of a four_class_label, by those that are listed.
func (r *Report) lackLabels() bool {
	lacking := 0
	for _, b := range r.BadLines {
		if b.Reason == record.MissingField && strings.HasPrefix(b.Detail, "four_class_label") {
			lacking++
		}
	}
	const nearly = 0.9
	return float64(lacking) >= nearly*float64(len(r.BadLines)) && float64(r.Bad) >= nearly*float64(r.Lines)
}
