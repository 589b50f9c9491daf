package evaluation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// LossTest is the comparison of two models by token loss, in nats per token: the figure itself with its interval, and
// whether the samples' losses differ beyond chance. There is one hypothesis, so that nothing is adjusted.
type LossTest struct {
	Base       float64 `json:"base"`
	Retrained  float64 `json:"retrained"`
	Difference float64 `json:"difference"` // retrained − base, every token of the test part with the same weight
	Low        float64 `json:"low"`        // of the paired bootstrap's percentile interval
	High       float64 `json:"high"`
	Resamples  int     `json:"resamples"`
	Seed       uint64  `json:"seed"`
	Confidence float64 `json:"confidence"`

	Test string `json:"test"` // Wilcoxon signed-rank
	Wilcoxon
	Changes []LossBin `json:"changes"` // how many samples' mean losses changed by how much
}

// LossBin counts the samples whose mean loss changed by From up to To, nats per token.
type LossBin struct {
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Samples int     `json:"samples"`
}

// lossPair is one sample as both models measured it: sums over the same labelled tokens.
type lossPair struct {
	base, retrained float64
	tokens          int
}

func (p lossPair) change() float64 { return (p.retrained - p.base) / float64(p.tokens) }

// plainResult compares two evaluations of a plain fine-tune.
func plainResult(r *Result, base, retrained *Evaluation) error {
	pairs := make([]lossPair, len(base.Decisions))
	changes := make([]float64, len(pairs))
	for i, b := range base.Decisions {
		t := retrained.Decisions[i]
		if b.LabelledTokens != t.LabelledTokens || b.LabelledTokens <= 0 {
			return fmt.Errorf("compare: line %d: the loss of base is over %d tokens, that of retrained over %d",
				b.SourceLine, b.LabelledTokens, t.LabelledTokens)
		}
		pairs[i] = lossPair{b.LossSum, t.LossSum, b.LabelledTokens}
		changes[i] = pairs[i].change()
	}
	o := r.Options
	l := bootstrapLoss(pairs, o.Resamples, 1-o.Alpha, o.Seed)
	l.Test, l.Wilcoxon, l.Changes = "Wilcoxon signed-rank", wilcoxon(changes), binsOf(changes)
	r.Loss = &l
	r.Answers = answersOf(base, retrained)
	r.judgeLoss()
	return nil
}

// bootstrapLoss resamples the samples with replacement, both models' losses and the tokens together, so that a long sample
// weighs in each resample as it does in the token loss. The same pairs, seed and number of resamples give the same bits.
func bootstrapLoss(pairs []lossPair, resamples int, confidence float64, seed uint64) LossTest {
	t := LossTest{Resamples: resamples, Seed: seed, Confidence: confidence}
	tokens := 0
	for _, p := range pairs {
		t.Base += p.base
		t.Retrained += p.retrained
		tokens += p.tokens
	}
	t.Base, t.Retrained = t.Base/float64(tokens), t.Retrained/float64(tokens)
	t.Difference = t.Retrained - t.Base
	draws := make([]float64, resamples)
	random := rand.New(rand.NewPCG(seed, 0x736f386c)) // "so8l": a stream of its own
	for r := range draws {
		sum, tokens := 0.0, 0
		for range pairs {
			p := pairs[random.Uint32N(uint32(len(pairs)))]
			sum += p.retrained - p.base
			tokens += p.tokens
		}
		draws[r] = sum / float64(tokens)
	}
	slices.Sort(draws)
	tail := (1 - confidence) / 2
	t.Low, t.High = quantile(draws, tail), quantile(draws, 1-tail)
	return t
}

// lossBins is the number of bars of the histogram, at most.
const lossBins = 25

// binsOf sorts changes into bars of one width, 1, 2 or 5 times a power of ten, so that 0 lies between two of them.
func binsOf(changes []float64) []LossBin {
	low, high := min(0, slices.Min(changes)), max(0, slices.Max(changes))
	if low == high {
		return []LossBin{{0, 0, len(changes)}}
	}
	width := math.Pow(10, math.Floor(math.Log10((high-low)/lossBins)))
	for _, times := range []float64{1, 2, 5, 10, 20} {
		if (high-low)/(times*width) <= lossBins-2 {
			width *= times
			break
		}
	}
	first, last := int(math.Floor(low/width)), int(math.Ceil(high/width))
	bins := make([]LossBin, max(1, last-first))
	for i := range bins {
		bins[i].From, bins[i].To = float64(first+i)*width, float64(first+i+1)*width
	}
	for _, c := range changes {
		at := int(math.Floor(c/width)) - first
		bins[min(max(at, 0), len(bins)-1)].Samples++
	}
	return bins
}

// judgeLoss fills in Checks, Reasons and Verdict of a plain run.
func (r *Result) judgeLoss() {
	p, l := r.Options.Promotion, r.Loss
	falls := "must fall"
	if p.MinLossReduction > 0 {
		falls += fmt.Sprintf(" by at least %s", Nats(p.MinLossReduction))
	}
	r.conclude([]Check{
		{
			Name:   "loss_reduction",
			Passed: l.Difference < 0 && -l.Difference >= p.MinLossReduction,
			Reason: fmt.Sprintf("Token loss went from %s to %s (%s); it %s.", Nats(l.Base), Nats(l.Retrained), Signed(l.Difference, 4), falls),
		},
		{
			Name:   "loss_significant",
			Passed: l.RankSumLower > l.RankSumHigher && float64(l.PValue) < p.Alpha, // a rise may be significant too
			Reason: fmt.Sprintf("The retrained model's loss is lower on %d samples and higher on %d (signed-rank test, %s); "+
				"it must be lower beyond chance, p < %g.", l.Lower, l.Higher, l.PValue.Equation(), p.Alpha),
		},
	})
}

// Nats writes a loss with four decimals: 2.3142.
func Nats(loss float64) string { return fmt.Sprintf("%.4f", loss) }

// SideBySide is a sample of a plain run as both models answered it, for people to read.
type SideBySide struct {
	Line      int64   `json:"source_line"`
	File      int     `json:"source_file,omitempty"`
	Digest    string  `json:"digest"`
	Prompt    string  `json:"prompt"`
	Reference string  `json:"reference"`
	Base      Written `json:"base"`
	Retrained Written `json:"retrained"`
}

// Written is one model's answer, and its loss on the reference, in nats per token.
type Written struct {
	Answer string  `json:"answer"`
	Loss   float64 `json:"loss"`
}

// answersOf takes the first answered samples of the test part.
func answersOf(base, retrained *Evaluation) []SideBySide {
	out := []SideBySide{}
	for i, b := range base.Decisions {
		if r := retrained.Decisions[i]; b.hasAnswer() && r.hasAnswer() && len(out) < examplesEach {
			out = append(out, SideBySide{b.SourceLine, b.SourceFile, b.Digest, b.Prompt, b.Reference,
				Written{b.Answer, b.meanLoss()}, Written{r.Answer, r.meanLoss()}})
		}
	}
	return out
}

// plainDocument is what a plain run's ab_test_results.json holds: a Result without what needs a label.
type plainDocument struct {
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons"`
	Checks  []Check  `json:"checks"`

	Base      PlainFigures `json:"base"`
	Retrained PlainFigures `json:"retrained"`
	Loss      *LossTest    `json:"loss"`
	Apart     *Apart       `json:"without_near_duplicates,omitempty"`

	BaseTimes      Times        `json:"base_evaluation"`
	RetrainedTimes Times        `json:"retrained_evaluation"`
	Samples        int          `json:"samples"`
	SamplesDigest  string       `json:"samples_digest"`
	Options        plainOptions `json:"options"`
	Answers        []SideBySide `json:"answers"`
}

type plainOptions struct {
	Alpha     float64 `json:"alpha"`
	Resamples int     `json:"resamples"`
	Seed      uint64  `json:"seed"`
	Promotion struct {
		Alpha            float64 `json:"alpha"`
		MinLossReduction float64 `json:"min_loss_reduction"`
	} `json:"promotion"`
}

// Document is what ab_test_results.json holds of the result.
func (r *Result) Document() any {
	if !r.Plain() {
		return r
	}
	o := plainOptions{Alpha: r.Options.Alpha, Resamples: r.Options.Resamples, Seed: r.Options.Seed}
	o.Promotion.Alpha, o.Promotion.MinLossReduction = r.Options.Promotion.Alpha, r.Options.Promotion.MinLossReduction
	return plainDocument{
		r.Verdict, r.Reasons, r.Checks, r.Base.plain(), r.Retrained.plain(), r.Loss, r.Apart,
		r.BaseTimes, r.RetrainedTimes, r.Samples, r.SamplesDigest, o, r.Answers,
	}
}
