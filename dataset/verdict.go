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
	listed  string  // where all lines are listed; empty: not said
}

// exceeds says whether n of whole are more than the fraction allows.
func exceeds(n, whole int64, fraction float64) bool {
	return float64(n) > fraction*float64(max(whole, 1))
}

// rendered is the number of records that became samples, too long or not. Near duplicates are dropped afterwards.
func rendered(lines, bad int64, removed map[string]int64) int64 {
	return lines - bad - sum(removed) + removed[nearDuplicate]
}

// verdict returns the error of an input of which too much is bad or too long.
func (r *Report) verdict(l limits) error {
	r.BadFraction = float64(r.Bad) / float64(max(r.Lines, 1))
	samples := rendered(r.Lines, r.Bad, r.Removed)
	r.TooLongFraction = float64(r.TooLong) / float64(max(samples, 1))
	var text string
	switch {
	case exceeds(r.Bad, r.Lines, l.bad):
		text = r.badText(l.bad)
	case exceeds(r.TooLong, samples, l.tooLong):
		text = fmt.Sprintf("%d of %d samples (%s) are longer than data.max_seq_length, which is %d tokens; the longest has %d. "+
			"data.max_too_long_fraction allows %s", r.TooLong, samples, percent(r.TooLongFraction), r.MaxSeqLength, r.Longest, percent(l.tooLong))
	default:
		return nil
	}
	if l.listed != "" {
		text += "; " + l.listed
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
		cause := fmt.Sprintf("%s (%s, %d)", InWords(reason), reason, r.BadByReason[reason])
		if len(r.BadByReason) == 1 {
			cause = fmt.Sprintf("%s (%s)", InWords(reason), reason)
		}
		if reason == record.MissingField && r.lacksLabels() {
			cause += "; data.four_class: false trains on records without labels"
		}
		causes = append(causes, cause)
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

// lacksLabels reports whether nearly all lines are bad for want of a four_class_label, by those that are listed.
func (r *Report) lacksLabels() bool {
	lacking := 0
	for _, b := range r.BadLines {
		if b.Reason == record.MissingField && strings.HasPrefix(b.Detail, "four_class_label") {
			lacking++
		}
	}
	const nearly = 0.9
	return float64(lacking) >= nearly*float64(len(r.BadLines)) && float64(r.Bad) >= nearly*float64(r.Lines)
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

// wordings say what is wrong in plain words, and what is expected. Each reason has one: TestReasonsHaveWords.
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
	record.BlankLine:          "a record is blank",
	record.UnknownRole:        "a turn is of a role that is none of system, user, assistant",
	record.MisplacedSystem:    "a system turn stands behind another turn, or differs from the record's own",
	record.NoPrompt:           "no user's turn stands before the answer",
	record.NoAnswer:           "the conversation does not end with the assistant's turn",
	record.NotText:            "a turn holds an image, a sound or the like",
	record.ControlToken:       "a text holds a token that marks or ends turns",
	record.MalformedQuadruple: "an answer is not in the quadruple form, though it has some of its tags or is an earlier turn that is trained too",
	record.DecisionMismatch:   "the output decides otherwise than four_class_label",
	"nsfw_allowed":            "a record marked nsfw has the label ALLOW: such records teach DENY, REFUSE and ESCALATION only",
	"source_url":              "source_url is no http or https address",
	"lookalike_tag":           "the answer holds a tag like <think-…> or <final>",
}

// InWords says what is wrong with a record.
func InWords(reason record.Reason) string {
	if text, ok := wordings[reason]; ok {
		return text
	}
	return strings.ReplaceAll(string(reason), "_", " ")
}
