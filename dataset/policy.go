package dataset

import "so8t/dataset/record"

// Policy is an ordered list of rules. Version names them: it is written into every Arrow file and takes part in
// recognising a finished split, so it must change whenever a rule does. The zero value removes nothing: personal data,
// confidentiality markers, robots.txt and NSFW are not checked.
type Policy struct {
	Version string // "none" where there are no rules
	Rules   []Rule
}

// Rule judges each well-formed record before the split; the first rule that does not allow a record removes it. A rule
// may also change a record (masking), in which case the changed record is what is split, rendered and digested.
//
// Removals are counted in policy_report.json by the rule's name and listed by line and rule, never with the text that
// matched. They are not bad lines: they do not count against MaxBadFraction.
type Rule interface {
	Name() string
	Allows(*record.Record) bool
}

const noPolicy = "none"
