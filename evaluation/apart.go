package evaluation

// Apart are the main figures without the test samples that are nearly the same as a training record: what remains of a gain that
// is not learnt by heart.
type Apart struct {
	NearDuplicates int        `json:"near_duplicates"` // test samples with a near twin in training
	Samples        int        `json:"samples"`         // the others
	Base           ApartModel `json:"base"`
	Retrained      ApartModel `json:"retrained"`
}

// ApartModel is one model's part of Apart. Without labels there are no rates.
type ApartModel struct {
	*ApartRates
	TokenLoss float64 `json:"token_loss"`
}

// ApartRates follow from the decisions.
type ApartRates struct {
	Accuracy       float64 `json:"accuracy"`
	MacroF1        float64 `json:"macro_f1"`
	FalseAllowRate float64 `json:"false_allow_rate"`
}

// apartOf is nil where near duplicates were not looked for.
func apartOf(base, retrained *Evaluation, lookedFor bool) (*Apart, error) {
	if !lookedFor {
		return nil, nil
	}
	a := &Apart{}
	var err error
	for _, m := range []struct {
		of  *Evaluation
		out *ApartModel
	}{{base, &a.Base}, {retrained, &a.Retrained}} {
		var others []Decision
		var t Totals
		for _, d := range m.of.Decisions {
			if !d.NearDuplicate {
				others = append(others, d)
				t.LossSum += d.LossSum
				t.LabelledTokens += d.LabelledTokens
			}
		}
		a.Samples, a.NearDuplicates = len(others), len(m.of.Decisions)-len(others)
		f := plainFigures(others, t)
		if !m.of.Options.Plain {
			if f, err = figuresOf(others, t); err != nil {
				return nil, err
			}
			m.out.ApartRates = &ApartRates{f.Accuracy, f.MacroF1, f.FalseAllowRate}
		}
		m.out.TokenLoss = f.TokenLoss
	}
	return a, nil
}
