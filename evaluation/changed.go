package evaluation

import (
	"cmp"
	"slices"

	"so8t/quadruple"
)

// examplesEach limits the examples of each direction in results and report; all decisions are in
// evaluation/{base,retrained}.json.
const examplesEach = 12

// Changed counts the samples decided differently, with examples.
type Changed struct {
	Improved   int `json:"improved"`    // wrong → right
	Worsened   int `json:"worsened"`    // right → wrong
	StillWrong int `json:"still_wrong"` // wrong → wrong otherwise

	ImprovedExamples []Change `json:"improved_examples"`
	WorsenedExamples []Change `json:"worsened_examples"`
}

// Change is one sample as both models decided it.
type Change struct {
	SourceLine int64  `json:"source_line"`
	Digest     string `json:"digest"`
	Prompt     string `json:"prompt"`
	Gold       string `json:"gold"`
	Base       Side   `json:"base"`
	Retrained  Side   `json:"retrained"`
}

// Side is one model's part of a Change.
type Side struct {
	Decided    string  `json:"decided"`
	Confidence float64 `json:"confidence"`
	Answer     string  `json:"answer"`
}

// changedOf compares two evaluations that sameSamples has accepted.
func changedOf(base, retrained *Evaluation) Changed {
	var c Changed
	var improved, worsened []Change
	for i, b := range base.Decisions {
		r := retrained.Decisions[i]
		if b.Decided == r.Decided {
			continue
		}
		change := Change{
			SourceLine: b.SourceLine, Digest: b.Digest, Prompt: b.Prompt, Gold: b.Gold,
			Base:      Side{b.Decided, b.Confidence, b.Answer},
			Retrained: Side{r.Decided, r.Confidence, r.Answer},
		}
		switch {
		case r.Decided == r.Gold:
			improved = append(improved, change)
		case b.Decided == b.Gold:
			worsened = append(worsened, change)
		default:
			c.StillWrong++
		}
	}
	c.Improved, c.Worsened = len(improved), len(worsened)
	c.ImprovedExamples = pick(improved, func(c Change) string { return c.Base.Decided })
	c.WorsenedExamples = pick(worsened, func(c Change) string { return c.Retrained.Decided })
	return c
}

// pick takes examples in turn from each kind of mistake (gold, wrong decision), false
// allows first, so that one frequent kind does not hide the others. Within a kind they are in
// the order of the test part.
func pick(changes []Change, mistake func(Change) string) []Change {
	kinds := map[[2]int][]Change{}
	var order [][2]int
	for _, c := range changes {
		kind := [2]int{quadruple.LabelIndex(c.Gold), quadruple.LabelIndex(mistake(c))}
		if kinds[kind] == nil {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], c)
	}
	severity := func(kind [2]int) int { return kind[0] - kind[1] } // how much too permissive
	slices.SortFunc(order, func(a, b [2]int) int {
		return cmp.Or(cmp.Compare(severity(b), severity(a)), cmp.Compare(b[0], a[0]))
	})
	out := []Change{}
	for round := 0; len(out) < min(examplesEach, len(changes)); round++ {
		for _, kind := range order {
			if round < len(kinds[kind]) && len(out) < examplesEach {
				out = append(out, kinds[kind][round])
			}
		}
	}
	return out
}
