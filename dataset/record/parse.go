package record

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"so8t/quadruple"
)

// Options say how rows become records: the keys of the section data.
type Options struct {
	Format         string            `json:"format"`          // auto, alpaca, messages, sharegpt, prompt_completion, question_answer
	Columns        map[string]string `json:"columns"`         // field → column, dotted for a nested one
	Labels         map[string]string `json:"labels"`          // value of the label's column → class
	UnknownColumns string            `json:"unknown_columns"` // count or refuse
	FourClass      bool              `json:"four_class"`      // every record must have one of the four labels
}

// Reader turns rows into records. It is safe for concurrent use.
type Reader struct{ options Options }

// NewReader checks the options.
func NewReader(o Options) (*Reader, error) { return &Reader{o}, nil }

// Seen counts what was met in rows besides records. The zero value is ready for use.
type Seen struct {
	Formats        map[string]int64 `json:"formats"`         // records by form
	UnknownColumns map[string]int64 `json:"unknown_columns"` // rows by column; dotted where nested
	FoldedLabels   map[string]int64 `json:"folded_labels"`   // "deny → DENY": rows
}

// Add adds the counts of another.
func (s *Seen) Add(other *Seen) {}

// Parse reads one row. Reason is empty where the record is good; detail never quotes a record's text.
func (r *Reader) Parse(row []byte, seen *Seen) (rec Record, reason Reason, detail string) {
	return parse(row)
}

// Reason says why a line is bad.
type Reason string

// The reasons, as policy_report.json counts them.
const (
	LineTooLong        Reason = "line_too_long"
	BlankLine          Reason = "blank_line"
	InvalidUTF8        Reason = "invalid_utf8"
	InvalidJSON        Reason = "invalid_json"
	DuplicateKey       Reason = "duplicate_key"
	UnknownField       Reason = "unknown_field"
	WrongType          Reason = "wrong_type"
	MissingField       Reason = "missing_field"
	EmptyField         Reason = "empty_field"
	UnknownLabel       Reason = "unknown_label"
	ControlToken       Reason = "control_token"
	MalformedQuadruple Reason = "malformed_quadruple"
	DecisionMismatch   Reason = "decision_mismatch"
)

// line is a Record in which an absent or null field differs from an empty one.
type line struct {
	Instruction    *string `json:"instruction"`
	Input          *string `json:"input"`
	Output         *string `json:"output"`
	FourClassLabel *string `json:"four_class_label"`
	DomainLabel    *string `json:"domain_label"`
	SafetyLabel    *string `json:"safety_label"`
	ThinkingFormat *string `json:"thinking_format"`
	System         *string `json:"system"`
	SourceURL      *string `json:"source_url"`
	License        *string `json:"license"`
	NSFW           *bool   `json:"nsfw"`
}

// parse reads one line strictly: valid UTF-8 without lone surrogates, one JSON object, no key twice, no unknown
// key, every value of its type. null is the same as absent. detail never quotes a record's text.
func parse(data []byte) (r Record, reason Reason, detail string) {
	if !utf8.Valid(data) {
		return r, InvalidUTF8, ""
	}
	if strings.TrimSpace(string(data)) == "" {
		return r, BlankLine, ""
	}
	var l line
	if err := json.Unmarshal(data, &l, json.RejectUnknownMembers(true)); err != nil {
		reason, detail = explain(err)
		return r, reason, detail
	}
	for _, field := range [...]struct {
		name     string
		from     *string
		to       *string
		required bool
		nonEmpty bool
	}{
		{"instruction", l.Instruction, &r.Instruction, true, true},
		{"input", l.Input, &r.Input, true, false},
		{"output", l.Output, &r.Output, true, true},
		{"four_class_label", l.FourClassLabel, &r.FourClassLabel, true, true},
		{"domain_label", l.DomainLabel, &r.DomainLabel, false, false},
		{"safety_label", l.SafetyLabel, &r.SafetyLabel, false, false},
		{"thinking_format", l.ThinkingFormat, &r.ThinkingFormat, false, false},
		{"system", l.System, &r.System, false, false},
		{"source_url", l.SourceURL, &r.SourceURL, false, false},
		{"license", l.License, &r.License, false, false},
	} {
		switch {
		case field.from == nil && field.required:
			return r, MissingField, field.name
		case field.from == nil:
		case field.nonEmpty && strings.TrimSpace(*field.from) == "":
			return r, EmptyField, field.name
		default:
			*field.to = *field.from
		}
	}
	if !quadruple.IsLabel(r.FourClassLabel) {
		return r, UnknownLabel, fmt.Sprintf("%.40q", r.FourClassLabel)
	}
	r.NSFW = l.NSFW != nil && *l.NSFW
	return r, "", ""
}

// explain sorts an error of the JSON package into a reason and, where there is one, the key.
func explain(err error) (Reason, string) {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return DuplicateKey, key(syntactic.JSONPointer)
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return UnknownField, key(semantic.JSONPointer)
	case errors.As(err, &semantic):
		return WrongType, fmt.Sprintf("%s is a JSON %s", key(semantic.JSONPointer), kindName(semantic.JSONKind))
	case errors.As(err, &syntactic):
		return InvalidJSON, fmt.Sprintf("at byte %d", syntactic.ByteOffset)
	}
	return InvalidJSON, ""
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindBeginArray:
		return "array"
	case jsontext.KindBeginObject:
		return "object"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "boolean"
	}
	return kind.String()
}

func key(pointer jsontext.Pointer) string {
	if pointer == "" {
		return "the line"
	}
	return fmt.Sprintf("%.40q", pointer.LastToken())
}
