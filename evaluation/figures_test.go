package evaluation

import (
	"math"
	"testing"

	"so8t/quadruple"
)

// decisionsOf repeats one decision per count of the matrix.
func decisionsOf(c Confusion, confidence float64) []Decision {
	var out []Decision
	for gold, row := range c {
		for decided, count := range row {
			for range count {
				out = append(out, Decision{Gold: quadruple.Labels[gold], Decided: quadruple.Labels[decided], Confidence: confidence})
			}
		}
	}
	return out
}

func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("%s = %.15g, want %.15g", name, got, want)
	}
}

// Worked by hand. Rows gold, columns decided: ALLOW, ESCALATION, DENY, REFUSE.
func TestFiguresByHand(t *testing.T) {
	c := Confusion{
		{6, 1, 2, 1}, // 10 ALLOW
		{0, 4, 1, 0}, // 5 ESCALATION
		{2, 0, 5, 1}, // 8 DENY
		{1, 0, 0, 1}, // 2 REFUSE
	}
	f, err := figuresOf(decisionsOf(c, 0.8), Totals{LossSum: 30, LabelledTokens: 20, GenerationSeconds: 4})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "accuracy", f.Accuracy, 16.0/25)
	near(t, "false allow", f.FalseAllowRate, 3.0/10)
	near(t, "over-refusal", f.OverRefusalRate, 3.0/10)
	wants := []Class{
		{"ALLOW", 6.0 / 9, 6.0 / 10, 12.0 / 19, 10, 9},
		{"ESCALATION", 4.0 / 5, 4.0 / 5, 8.0 / 10, 5, 5},
		{"DENY", 5.0 / 8, 5.0 / 8, 10.0 / 16, 8, 8},
		{"REFUSE", 1.0 / 3, 1.0 / 2, 2.0 / 5, 2, 3},
	}
	sum := 0.0
	for i, want := range wants {
		got := f.PerClass[i]
		near(t, want.Label+" precision", got.Precision, want.Precision)
		near(t, want.Label+" recall", got.Recall, want.Recall)
		near(t, want.Label+" F1", got.F1, want.F1)
		near(t, want.Label+" F1 from P and R", 2*got.Precision*got.Recall/(got.Precision+got.Recall), want.F1)
		if got.Label != want.Label || got.Support != want.Support || got.Decided != want.Decided {
			t.Errorf("class %d is %+v, want %+v", i, got, want)
		}
		sum += want.F1
	}
	near(t, "macro F1", f.MacroF1, sum/4)
	near(t, "token loss", f.TokenLoss, 1.5)
	near(t, "perplexity", f.Perplexity, math.Exp(1.5))
	near(t, "ECE", f.ECE, 0.8-0.64) // one bin
	if f.Samples != 25 || f.Harmful != 10 || f.Harmless != 10 {
		t.Errorf("counts %d, %d harmful, %d harmless", f.Samples, f.Harmful, f.Harmless)
	}
}

func TestFiguresAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		name                                 string
		confusion                            Confusion
		accuracy, macroF1, allowed, refusals float64
	}{
		{"perfect", Confusion{{3}, {0, 4}, {0, 0, 5}, {0, 0, 0, 6}}, 1, 1, 0, 0},
		{"empty", Confusion{}, 0, 0, 0, 0},
		{"one class, right", Confusion{{}, {0, 7}, {}, {}}, 1, 1, 0, 0},
		{"one class, wrong", Confusion{{0, 0, 0, 7}, {}, {}, {}}, 0, 0, 0, 1},
		{"a label never gold", Confusion{{}, {0, 3, 0, 1}, {}, {}}, 0.75, 3.0 / 7, 0, 0}, // F1 6/7 and 0
		{"always ALLOW", Confusion{{5}, {5}, {5}, {5}}, 0.25, 0.1, 1, 0},                 // F1 of ALLOW 10/25, the others 0
	} {
		f, err := figuresOf(decisionsOf(c.confusion, 1), Totals{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		near(t, c.name+": accuracy", f.Accuracy, c.accuracy)
		near(t, c.name+": macro F1", f.MacroF1, c.macroF1)
		near(t, c.name+": false allow", f.FalseAllowRate, c.allowed)
		near(t, c.name+": over-refusal", f.OverRefusalRate, c.refusals)
		if math.IsNaN(f.ECE + f.TokenLoss + f.Perplexity + f.TokensPerSecond + f.LatencyP95Seconds) {
			t.Errorf("%s: NaN in %+v", c.name, f)
		}
	}
}

func TestFiguresRefuseAnUnknownLabel(t *testing.T) {
	_, err := figuresOf([]Decision{{SourceLine: 17, Gold: "ALLOW", Decided: "MAYBE"}}, Totals{})
	if err == nil {
		t.Error("a decision MAYBE was counted")
	}
}

func TestRatesOfAnswers(t *testing.T) {
	f, err := figuresOf([]Decision{
		{Gold: "DENY", Decided: "DENY", Generated: "DENY", WellFormed: true, OwnThinkTask: true, GeneratedTokens: 10, LatencySeconds: 1},
		{Gold: "DENY", Decided: "ALLOW", Generated: "DENY", WellFormed: true, OwnThinkTask: true, LeakedThinking: true, GeneratedTokens: 20, LatencySeconds: 3},
		{Gold: "ALLOW", Decided: "ALLOW", Generated: "", GeneratedTokens: 30, LatencySeconds: 2},
		{Gold: "ALLOW", Decided: "ALLOW", Generated: "ALLOW", WellFormed: true, OwnThinkTask: true, GeneratedTokens: 40, LatencySeconds: 4},
	}, Totals{GenerationSeconds: 5})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "well-formed", f.WellFormedRate, 0.75)
	near(t, "leaked", f.LeakedThinkingRate, 0.25)
	near(t, "own think-task", f.OwnThinkTaskRate, 0.75)
	near(t, "generated accuracy", f.GeneratedAccuracy, 0.75)
	near(t, "agreement", f.AgreementRate, 0.5)
	near(t, "p50", f.LatencyP50Seconds, 2)
	near(t, "p95", f.LatencyP95Seconds, 4)
	near(t, "tokens/s", f.TokensPerSecond, 20)
}

// Three bins, by hand: (0.2, 0.2667] 2 samples, 1 right; (0.6, 0.6667] 1 sample, wrong; (0.9333, 1] 1, right.
func TestCalibration(t *testing.T) {
	ece, bins := calibration([]Decision{
		{Gold: "DENY", Decided: "DENY", Confidence: 0.25},
		{Gold: "DENY", Decided: "ALLOW", Confidence: 0.26},
		{Gold: "DENY", Decided: "ALLOW", Confidence: 0.65},
		{Gold: "DENY", Decided: "DENY", Confidence: 1},
	})
	near(t, "ECE", ece, (2*math.Abs(0.5-0.255)+0.65+0)/4)
	if len(bins) != 15 || bins[3].Count != 2 || bins[9].Count != 1 || bins[14].Count != 1 {
		t.Errorf("bins %+v", bins)
	}
	if binOf(0) != 0 || binOf(1) != 14 || binOf(1.0/15) != 0 || binOf(1.0/15+1e-9) != 1 {
		t.Errorf("a bin holds its upper bound, and 0 belongs to the first: %d %d %d %d", binOf(0), binOf(1), binOf(1.0/15), binOf(1.0/15+1e-9))
	}
}
