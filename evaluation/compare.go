package evaluation

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"time"

	"so8t/quadruple"
	"so8t/version"
)

// Verdicts of a comparison.
const (
	Promote = "promote"
	Reject  = "reject"
)

// CompareOptions are the settings of a comparison and of the promotion gate.
type CompareOptions struct {
	Alpha     float64   `json:"alpha"`     // family-wise level; intervals cover 1 − Alpha; 0: 0.05
	Resamples int       `json:"resamples"` // of the bootstrap; 0: 10,000
	Seed      uint64    `json:"seed"`
	Promotion Promotion `json:"promotion"`

	// NearDuplicates: the split looked for test samples with a near twin in training, and marked them.
	NearDuplicates bool `json:"near_duplicates,omitempty"`
}

func (o CompareOptions) withDefaults() (CompareOptions, error) {
	o.Alpha = cmp.Or(o.Alpha, 0.05)
	o.Resamples = cmp.Or(o.Resamples, 10000)
	if !(o.Alpha > 0 && o.Alpha < 1) {
		return o, fmt.Errorf("compare: alpha %v is not between 0 and 1", o.Alpha)
	}
	if o.Resamples < 100 {
		return o, fmt.Errorf("compare: %d resamples are too few for an interval", o.Resamples)
	}
	var err error
	o.Promotion, err = o.Promotion.withDefaults()
	return o, err
}

// Result is the A/B comparison of two models on the same samples: ab_test_results.json.
type Result struct {
	Verdict string   `json:"verdict"` // promote or reject
	Reasons []string `json:"reasons"` // a sentence per check of the gate, failed ones first
	Checks  []Check  `json:"checks"`

	Base      Figures `json:"base"`
	Retrained Figures `json:"retrained"`

	McNemar   McNemar   `json:"mcnemar"`
	Bootstrap Bootstrap `json:"bootstrap"`
	Family    []Tested  `json:"holm"`

	BaseTimes      Times          `json:"base_evaluation"`
	RetrainedTimes Times          `json:"retrained_evaluation"`
	Samples        int            `json:"samples"`
	SamplesDigest  string         `json:"samples_digest"`
	Options        CompareOptions `json:"options"`
	Changed        Changed        `json:"changed"`

	Apart *Apart `json:"without_near_duplicates,omitempty"` // nil: near duplicates were not looked for

	// Of a plain run, which has nothing but these of what is compared.
	Loss    *LossTest    `json:"loss,omitempty"`
	Answers []SideBySide `json:"answers,omitempty"`
}

// PValue is that of the main hypothesis: of accuracy, or of token loss.
func (r *Result) PValue() PValue {
	if r.Plain() {
		return r.Loss.PValue
	}
	return r.McNemar.PValue
}

// Plain says that the result compares token losses, and that nothing was decided.
func (r *Result) Plain() bool { return r.Loss != nil }

// Times says when and by which versions one of the models was evaluated, and how many samples were skipped.
type Times struct {
	StartedAt  time.Time         `json:"started_at"`
	FinishedAt time.Time         `json:"finished_at"`
	Skipped    int               `json:"skipped_samples"`
	Versions   []version.Version `json:"versions,omitempty"`
}

// Bootstrap holds retrained − base of four figures, and how their intervals were drawn.
type Bootstrap struct {
	Resamples       int        `json:"resamples"`
	Seed            uint64     `json:"seed"`
	Confidence      float64    `json:"confidence"`
	Stratified      string     `json:"stratified_by"`
	Accuracy        Difference `json:"accuracy"`
	MacroF1         Difference `json:"macro_f1"`
	FalseAllowRate  Difference `json:"false_allow_rate"`
	OverRefusalRate Difference `json:"over_refusal_rate"`
}

// Compare tests retrained against base, sample by sample, and applies the gate. Both must have been
// evaluated on the same samples, which is checked by digest.
func Compare(base, retrained *Evaluation, o CompareOptions) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := sameSamples(base, retrained); err != nil {
		return nil, err
	}
	r := &Result{
		Base: base.Figures, Retrained: retrained.Figures,
		BaseTimes:      Times{base.StartedAt, base.FinishedAt, len(base.Skipped), base.Versions},
		RetrainedTimes: Times{retrained.StartedAt, retrained.FinishedAt, len(retrained.Skipped), retrained.Versions},
		Samples:        len(base.Decisions), SamplesDigest: base.SamplesDigest,
		Options: o,
	}
	if r.Apart, err = apartOf(base, retrained, o.NearDuplicates); err != nil {
		return nil, err
	}
	if base.Options.Plain {
		return r, plainResult(r, base, retrained)
	}
	return r, decidedResult(r, base, retrained)
}

// decidedResult compares two evaluations by their decisions.
func decidedResult(r *Result, base, retrained *Evaluation) error {
	pairs, err := pairsOf(base, retrained)
	if err != nil {
		return err
	}
	o := r.Options
	r.McNemar = mcNemarOf(pairs)
	confidence := 1 - o.Alpha
	d := bootstrap(pairs, []statistic{
		Confusion.accuracy, Confusion.macroF1, Confusion.falseAllowRate, Confusion.overRefusalRate,
	}, o.Resamples, confidence, o.Seed)
	r.Bootstrap = Bootstrap{
		Resamples: o.Resamples, Seed: o.Seed, Confidence: confidence, Stratified: "gold label",
		Accuracy: d[0], MacroF1: d[1], FalseAllowRate: d[2], OverRefusalRate: d[3],
	}
	r.Family = []Tested{
		{Name: "accuracy", Test: "exact McNemar", PValue: r.McNemar.PValue},
		{Name: "macro_f1", Test: "paired bootstrap", PValue: r.Bootstrap.MacroF1.PValue},
		{Name: "false_allow_rate", Test: "paired bootstrap", PValue: r.Bootstrap.FalseAllowRate.PValue},
	}
	holm(r.Family, o.Alpha)
	r.Changed = changedOf(base, retrained)
	r.judge()
	return nil
}

// sameSamples fails if the two evaluations differ in the samples, their order, or the options that affect answers.
func sameSamples(base, retrained *Evaluation) error {
	if b, r := base.Options.answering(), retrained.Options.answering(); !reflect.DeepEqual(b, r) {
		return fmt.Errorf("compare: base was evaluated with %+v, retrained with %+v", b, r)
	}
	if b, r := len(base.Decisions), len(retrained.Decisions); b != r || b == 0 {
		return fmt.Errorf("compare: base has decisions on %d samples, retrained on %d", b, r)
	}
	for i, b := range base.Decisions {
		r := retrained.Decisions[i]
		if b.Digest != r.Digest || b.Gold != r.Gold {
			return fmt.Errorf("compare: decision %d is on line %d (digest %.12s, %s) in base and on line %d (digest %.12s, %s) in retrained: "+
				"not the same test samples",
				i, b.SourceLine, b.Digest, b.Gold, r.SourceLine, r.Digest, r.Gold)
		}
	}
	return nil
}

// pairsOf pairs the decisions of two evaluations that sameSamples has accepted.
func pairsOf(base, retrained *Evaluation) ([]pair, error) {
	pairs := make([]pair, len(base.Decisions))
	for i, b := range base.Decisions {
		r := retrained.Decisions[i]
		gold, first, second := quadruple.LabelIndex(b.Gold), quadruple.LabelIndex(b.Decided), quadruple.LabelIndex(r.Decided)
		if min(gold, first, second) < 0 {
			return nil, fmt.Errorf("compare: line %d: gold %q, base %q or retrained %q is not one of %v", b.SourceLine, b.Gold, b.Decided, r.Decided,
				quadruple.Labels)
		}
		pairs[i] = pair{uint8(gold), uint8(first), uint8(second)}
	}
	return pairs, nil
}

// Hypothesis returns the member of Family about one figure; its p-values are NaN if there is none.
func (r *Result) Hypothesis(figure string) Tested {
	for _, t := range r.Family {
		if t.Name == figure {
			return t
		}
	}
	return Tested{Name: figure, PValue: PValue(math.NaN()), AdjustedPValue: PValue(math.NaN())}
}
