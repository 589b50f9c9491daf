package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"so8t/evaluation"
	"so8t/evaluation/evaluationtest"
	"so8t/page/pagetest"
	"so8t/quadruple"
)

func lossCurve() (train, validation []Point) {
	for step := 1; step <= 120; step++ {
		train = append(train, Point{step, 0.15 + 2.4*math.Exp(-float64(step)/22) + 0.12*math.Sin(float64(step*step))})
		if step%20 == 0 {
			validation = append(validation, Point{step, 0.2 + 2.4*math.Exp(-float64(step)/22)})
		}
	}
	return train, validation
}

func reportData() Data {
	train, validation := lossCurve()
	return Data{
		BaseModel: "models/Borea-Phi-3.5-mini-Instruct-Jp", BaseDigest: strings.Repeat("9c", 32),
		Dataset: "data/processed/four_class/four_class_2026-01-30.jsonl", DatasetDigest: strings.Repeat("3f", 32),
		Config: "configs/retrain_borea_phi35_so8t_config.yaml", ConfigDigest: strings.Repeat("b1", 32),
		WorkflowID: "borea-2026-01-31", StartedAt: time.Date(2026, 1, 31, 1, 0, 0, 0, time.UTC), FinishedAt: time.Date(2026, 1, 31, 2, 12, 0, 0, time.UTC),
		TrainLoss: train, ValidationLoss: validation,
		Details: []Detail{{"Training", "3 epochs, 120 optimizer steps", ""}, {"Data card", "data_card.html", "../splits/data_card.html"}},
	}
}

// writeReport writes a report into a temporary folder, or into $REPORT_DIR to be looked at.
func writeReport(t *testing.T, r *evaluation.Result, d Data) (dir, page string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ab_test")
	if shown := os.Getenv("REPORT_DIR"); shown != "" {
		dir = filepath.Join(shown, t.Name())
	}
	if err := Write(dir, r, d); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, PageName))
	if err != nil {
		t.Fatal(err)
	}
	return dir, string(data)
}

func TestReport(t *testing.T) {
	r := evaluationtest.Promoted(t, evaluation.CompareOptions{Seed: 1})
	dir, page := writeReport(t, r, reportData())
	pagetest.CheckHTML(t, page)
	for _, want := range []string{
		`class="verdict promote"`, "Promote the retrained model", "96.0 %", `lang="ja"`, "顧客名簿", `<dt lang="en">safety</dt>`,
		`id="key-numbers"`, `id="confusion"`, `id="classes"`, `id="curves"`, `id="loss"`, `id="figures"`, `id="tests"`, `id="examples"`, `id="run"`,
		r.McNemar.PValueText, strings.Repeat("3f", 32), strings.Repeat("b1", 32), "Borea-Phi-3.5-mini-Instruct-Jp", "1h12m0s", "3 epochs, 120 optimizer steps",
		"Noto Sans CJK JP", "ESCALATION",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, not := range []string{"ZgotmplZ", "<no value>", "NaN", "%!", "http://localhost", "url("} {
		if strings.Contains(page, not) {
			t.Errorf("the report holds %q", not)
		}
	}
	for _, url := range regexp.MustCompile(`https?://[^"' )]*`).FindAllString(page, -1) {
		if !strings.HasPrefix(url, "http://www.w3.org/") {
			t.Errorf("address in the page: %s", url)
		}
	}
	for _, name := range []string{"figures", "reliability", "confusion_base", "confusion_retrained", "loss"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Error(err)
			continue
		}
		checkSVG(t, name, data)
	}
	if _, err := os.Stat(filepath.Join(dir, ResultsName)); err != nil {
		t.Error(err)
	}
}

func checkSVG(t *testing.T, name string, data []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s.svg: %v", name, err)
			return
		}
	}
	if bytes.Contains(data, []byte("NaN")) || !bytes.Contains(data, []byte(`aria-label="`)) || !bytes.Contains(data, []byte("Noto Sans JP")) {
		t.Errorf("%s.svg: NaN, or no label, or no Japanese font: %.300s", name, data)
	}
}

// What a model or a dataset wrote must never become part of the page.
func TestReportEscapes(t *testing.T) {
	const attack = `</p><script>alert("盗む")</script><img src=x onerror=alert(1)>`
	base := evaluationtest.New(t, 40, true, evaluationtest.ByChance)
	retrained := evaluationtest.New(t, 40, true, evaluationtest.MostlyRight)
	for _, e := range []*evaluation.Evaluation{base, retrained} {
		for i := range e.Decisions {
			e.Decisions[i].Answer += attack
			e.Decisions[i].Prompt += attack
		}
	}
	d := reportData()
	d.BaseModel, d.WorkflowID = attack, attack
	d.Details = []Detail{{attack, attack, ""}}
	_, page := writeReport(t, evaluationtest.Compare(t, base, retrained, evaluation.CompareOptions{}), d)
	pagetest.CheckHTML(t, page)
	if !strings.Contains(page, "&lt;script&gt;alert(&#34;盗む&#34;)") {
		t.Error("the escaped text is not there to be read")
	}
}

// A report must come out of anything that Compare accepts, and of nothing known about the run.
func TestReportAtTheEdges(t *testing.T) {
	always := func(label int) func(int, int) int { return func(int, int) int { return label } }
	right := func(_, gold int) int { return gold }
	for name, decide := range map[string][2]func(int, int) int{
		"worse":        {evaluationtest.MostlyRight, evaluationtest.ByChance},
		"equal":        {evaluationtest.MostlyRight, evaluationtest.MostlyRight},
		"perfect":      {right, right},
		"one decision": {always(quadruple.Allow), always(quadruple.Refuse)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 90} {
				base, retrained := evaluationtest.New(t, n, true, decide[0]), evaluationtest.New(t, n, false, decide[1])
				r := evaluationtest.Compare(t, base, retrained, evaluation.CompareOptions{Resamples: 200})
				_, page := writeReport(t, r, Data{TrainLoss: []Point{{1, math.NaN()}}})
				pagetest.CheckHTML(t, page)
				if strings.Contains(page, "NaN") || !strings.Contains(page, "Do not promote the retrained model") || strings.Contains(page, `id="loss"`) {
					t.Error("NaN, or no verdict, or a loss curve of nothing")
				}
			}
		})
	}
}

func TestReportCutsLongAnswers(t *testing.T) {
	base := evaluationtest.New(t, 40, true, evaluationtest.ByChance)
	for i := range base.Decisions {
		base.Decisions[i].Answer = strings.Repeat("長", 5000)
	}
	result := evaluationtest.Compare(t, base, evaluationtest.New(t, 40, true, evaluationtest.MostlyRight), evaluation.CompareOptions{})
	_, page := writeReport(t, result, Data{})
	examples := len(result.Changed.ImprovedExamples) + len(result.Changed.WorsenedExamples)
	if n := strings.Count(page, "長"); n != examples*excerptRunes || examples == 0 {
		t.Errorf("%d characters of the long answers stand in the report", n)
	}
}

func TestResultsJSON(t *testing.T) {
	r := evaluationtest.Promoted(t, evaluation.CompareOptions{})
	dir, _ := writeReport(t, r, Data{})
	text, err := os.ReadFile(filepath.Join(dir, ResultsName))
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"base", "retrained"} {
		figures := back[model].(map[string]any)
		for _, key := range []string{"accuracy", "macro_f1", "false_allow_rate", "over_refusal_rate", "well_formed_rate", "leaked_thinking_rate",
			"token_loss", "perplexity", "ece", "latency_p50_seconds", "latency_p95_seconds", "tokens_per_second"} {
			if _, ok := figures[key].(float64); !ok {
				t.Errorf("%s.%s is %v", model, key, figures[key])
			}
		}
	}
	if p := back["mcnemar"].(map[string]any)["p_value"].(float64); p <= 0 || p > 1e-20 {
		t.Errorf("mcnemar.p_value is %v", p)
	}
	if back["verdict"] != "promote" || !strings.Contains(string(text), "<final>製品カタログの件") {
		t.Errorf("verdict %v; Japanese and tags are to stay readable", back["verdict"])
	}
}
