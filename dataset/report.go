package dataset

import (
	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/policy"
)

// maxListed limits each list of lines in policy_report.json; counts are always exact.
const maxListed = 10000

// Report is policy_report.json: what the input holds, and why each line that is in no part was left out. Lists name
// lines and places, never a record's text.
type Report struct {
	InputPath   string        `json:"input_path"`
	Inputs      []source.File `json:"inputs"`
	record.Seen               // formats, unknown_columns, folded_labels

	Lines       int64                   `json:"lines"`
	Bad         int64                   `json:"bad"`
	BadFraction float64                 `json:"bad_fraction"`
	BadByReason map[record.Reason]int64 `json:"bad_by_reason"`
	BadLines    []BadLine               `json:"bad_lines"`

	MaxSeqLength    int        `json:"max_seq_length"`
	TooLong         int64      `json:"too_long"` // samples of more than MaxSeqLength tokens
	TooLongFraction float64    `json:"too_long_fraction"`
	Longest         int        `json:"longest"` // tokens of the longest of those
	TooLongLines    []LongLine `json:"too_long_lines"`

	PolicyVersion string               `json:"policy_version"`
	Policy        policy.Options       `json:"policy"` // the keys in force
	Removed       map[string]int64     `json:"removed_by_rule"`
	RemovedLines  []RemovedLine        `json:"removed_lines"`
	PIIByKind     map[string]int64     `json:"pii_by_kind"`    // records removed
	MaskedByKind  map[string]int64     `json:"masked_by_kind"` // places masked
	MaskedLines   []MaskedLine         `json:"masked_lines"`
	Robots        map[string]RobotsUse `json:"robots"`         // by authority
	MissingRobots []string             `json:"missing_robots"` // authorities without a stored robots.txt
	Licenses      map[string]int64     `json:"licenses"`       // records by licence
	NotLookedFor  []string             `json:"not_looked_for"` // personal data that no rule finds

	Duplicates     int64                  `json:"duplicates"` // records equal to an earlier one
	NearDuplicates *NearDuplicates        `json:"near_duplicates,omitempty"`
	Parts          map[string]*Statistics `json:"parts"` // train, val, test

	Truncated bool `json:"listing_truncated"` // a list ends at its first 10,000 lines
}

// BadLine says what is wrong with a line; Detail names a key or a position.
type BadLine struct {
	File   int           `json:"file,omitempty"` // index in Inputs
	Line   int64         `json:"line"`
	Reason record.Reason `json:"reason"`
	Detail string        `json:"detail,omitempty"`
}

// RemovedLine is a record that a policy rule removed, with the place that decided where there is one.
type RemovedLine struct {
	File   int    `json:"file,omitempty"`
	Line   int64  `json:"line"`
	Rule   string `json:"rule"`
	Field  string `json:"field,omitempty"`
	Start  int    `json:"start,omitempty"` // in characters
	Length int    `json:"length,omitempty"`
}

// MaskedLine is a place in a record at which personal data was replaced.
type MaskedLine struct {
	File   int    `json:"file,omitempty"`
	Line   int64  `json:"line"`
	Field  string `json:"field"`
	Kind   string `json:"kind"`
	Start  int    `json:"start"` // in characters of the text before masking
	Length int    `json:"length"`
}

// LongLine is a sample of more than MaxSeqLength tokens.
type LongLine struct {
	File   int   `json:"file,omitempty"`
	Line   int64 `json:"line"`
	Tokens int   `json:"tokens"`
}

// RobotsUse is a stored robots.txt and the records whose source_url it was asked about.
type RobotsUse struct {
	policy.Authority
	Records int64 `json:"records"`
	Removed int64 `json:"removed"`
}

// NearDuplicates are records of validation and test that are near one in training.
type NearDuplicates struct {
	Threshold float64    `json:"threshold"` // Jaccard similarity of the prompts' 5-grams
	Val       int64      `json:"val"`
	Test      int64      `json:"test"`
	Dropped   bool       `json:"dropped"`
	Lines     []NearLine `json:"lines"`
}

// NearLine is a record and the training record that it is near.
type NearLine struct {
	Part       string  `json:"part"`
	File       int     `json:"file,omitempty"`
	Line       int64   `json:"line"`
	OfFile     int     `json:"of_file,omitempty"`
	OfLine     int64   `json:"of_line"`
	Similarity float64 `json:"similarity"`
}

// Statistics describe a part. The share of loss tokens is Targets / Tokens.
type Statistics struct {
	Samples  int64            `json:"samples"`
	Tokens   int64            `json:"tokens"`
	Targets  int64            `json:"targets"` // tokens that the loss counts
	Longest  int64            `json:"longest"` // tokens of the longest sample
	PerLabel map[string]int64 `json:"per_label"`
	Lengths  []LengthBin      `json:"lengths"`
}

// LengthBin counts samples of more tokens than the bin before, up to UpTo.
type LengthBin struct {
	UpTo    int   `json:"up_to"`
	Samples int64 `json:"samples"`
}

func newReport(inputs []source.File, o Options) *Report {
	r := &Report{Inputs: inputs, BadByReason: map[record.Reason]int64{}, BadLines: []BadLine{}, MaxSeqLength: o.MaxSeqLength, TooLongLines: []LongLine{},
		PolicyVersion: o.PolicyVersion, Removed: map[string]int64{}, RemovedLines: []RemovedLine{}, PIIByKind: map[string]int64{},
		MaskedByKind: map[string]int64{}, MaskedLines: []MaskedLine{}, Robots: map[string]RobotsUse{}, MissingRobots: []string{},
		Licenses: map[string]int64{}, NotLookedFor: policy.NotLookedFor(), Parts: map[string]*Statistics{}}
	if len(inputs) > 0 {
		r.InputPath = inputs[0].Path
	}
	return r
}
