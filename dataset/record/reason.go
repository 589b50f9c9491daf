package record

import "fmt"

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
	UnknownRole        Reason = "unknown_role"     // a turn of a tool, a function, or of no known role
	MisplacedSystem    Reason = "misplaced_system" // a system turn behind another turn, or a second, different one
	NoPrompt           Reason = "no_prompt"        // no user's turn stands before the answer
	NoAnswer           Reason = "no_answer"        // the conversation does not end with the assistant
	NotText            Reason = "not_text"         // a part of a turn is an image, a sound …
	ControlToken       Reason = "control_token"
	MalformedQuadruple Reason = "malformed_quadruple"
	DecisionMismatch   Reason = "decision_mismatch"
)

// fault is why a row is no record. detail names a key or a position, and never quotes a record's text.
type fault struct {
	reason Reason
	detail string
}

// wrongType is the fault of a value of the wrong JSON type.
func wrongType(m *member) *fault {
	kind := m.value.Kind().String()
	switch m.value.Kind() {
	case '[':
		kind = "array"
	case '{':
		kind = "object"
	case 't', 'f':
		kind = "boolean"
	}
	return &fault{WrongType, fmt.Sprintf("%s is a JSON %s", m.path(), kind)}
}

// quoted is the beginning of a short value that names something.
func quoted[T ~string | ~[]byte](s T) string { return fmt.Sprintf("%.40q", string(s)) }
