package evaluation

import (
	"slices"

	"so8t/dataset"
)

// Labels are the four classes; every array of four here is in this order, which is
// also the order of growing caution.
var Labels = dataset.Labels

// Indices into Labels.
const (
	allow = iota
	escalation
	deny
	refuse
)

// labelIndex is −1 for anything that is not one of the four.
func labelIndex(label string) int { return slices.Index(Labels[:], label) }
