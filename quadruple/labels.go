package quadruple

import "slices"

// Labels are the four classes in the order of growing caution. Arrays of four are indexed in this order.
var Labels = [4]string{"ALLOW", "ESCALATION", "DENY", "REFUSE"}

// Indices into Labels.
const (
	Allow = iota
	Escalation
	Deny
	Refuse
)

// LabelIndex returns the index of label in Labels, −1 if it is none of them.
func LabelIndex(label string) int { return slices.Index(Labels[:], label) }

// IsLabel reports whether s is one of Labels.
func IsLabel(s string) bool { return LabelIndex(s) >= 0 }
