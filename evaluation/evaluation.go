package evaluation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"so8t/disk"
	"so8t/version"
)

// Decision is one model's answer to one sample of the test part, and what was measured on it.
type Decision struct {
	SourceFile    int    `json:"source_file,omitempty"` // index in the dataset's files
	SourceLine    int64  `json:"source_line"`
	Digest        string `json:"digest"` // of the record; pairs the decisions of two models
	Domain        string `json:"domain,omitempty"`
	NearDuplicate bool   `json:"near_duplicate,omitempty"` // a training record is nearly the same
	Prompt        string `json:"prompt"`
	Reference     string `json:"reference,omitempty"` // the dataset's own answer; in a plain run, where the sample was answered

	Gold           string     `json:"gold"`
	Decided        string     `json:"decided"`                      // the likeliest of the four labels
	Probabilities  [4]float64 `json:"probabilities"`                // in the order of Labels, sum 1
	Confidence     float64    `json:"confidence"`                   // the largest of them
	Generated      string     `json:"generated_decision,omitempty"` // as written in the answer; empty if none is
	Answer         string     `json:"answer"`                       // whole, without the end-of-sequence token
	Finished       bool       `json:"finished"`                     // it ended by itself, within max_new_tokens
	WellFormed     bool       `json:"well_formed"`                  // the quadruple form, nothing around it
	LeakedThinking bool       `json:"leaked_thinking"`              // quadruple.Leaked: the filter cuts it
	OwnThinkTask   bool       `json:"own_think_task"`               // decided after the model's own think-task

	LossSum         float64 `json:"loss_sum"` // of the gold answer, nats over LabelledTokens
	LabelledTokens  int     `json:"labelled_tokens"`
	GeneratedTokens int     `json:"generated_tokens"`
	LatencySeconds  float64 `json:"latency_seconds"`
}

// Skipped is a sample that could not be evaluated, and why.
type Skipped struct {
	SourceFile int    `json:"source_file,omitempty"`
	SourceLine int64  `json:"source_line"`
	Digest     string `json:"digest"`
	Reason     string `json:"reason"`
}

// Totals are sums over a whole evaluation.
type Totals struct {
	LossSum           float64 `json:"loss_sum"` // nats over LabelledTokens
	LabelledTokens    int     `json:"labelled_tokens"`
	GenerationSeconds float64 `json:"generation_seconds"`
}

// Evaluation is one model's figures on the test part, and every decision, from which figures and comparison
// can be recomputed without the model.
type Evaluation struct {
	Model         string            `json:"model"`              // base or retrained
	Versions      []version.Version `json:"versions,omitempty"` // that answered its batches
	SamplesDigest string            `json:"samples_digest"`
	StartedAt     time.Time         `json:"started_at"`
	FinishedAt    time.Time         `json:"finished_at"`
	Options       Options           `json:"options"`
	Figures                         // flat: accuracy, macro_f1, …
	Totals        Totals            `json:"totals"`
	Skipped       []Skipped         `json:"skipped,omitempty"`
	Labels        [4]string         `json:"labels"`
	Decisions     []Decision        `json:"decisions"` // in the order of the test part
}

// Recompute fills in SamplesDigest and Figures from Decisions and Totals.
func (e *Evaluation) Recompute() (err error) {
	e.SamplesDigest = samplesDigest(e.Decisions)
	if e.Options.Plain {
		e.Figures = plainFigures(e.Decisions, e.Totals)
		return nil
	}
	e.Figures, err = figuresOf(e.Decisions, e.Totals)
	return err
}

// samplesDigest identifies the samples asked, their gold labels and their order.
func samplesDigest(decisions []Decision) string {
	h := sha256.New()
	for _, d := range decisions {
		fmt.Fprintf(h, "%s %s\n", d.Digest, d.Gold)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Save writes the evaluation as JSON, whole or not at all, and creates the folder if need be.
func (e *Evaluation) Save(path string) error {
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return disk.ReplaceJSON(path, e.document())
}

// Load reads what Save wrote.
func Load(path string) (*Evaluation, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load evaluation: %w", err)
	}
	var e Evaluation
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("load evaluation %s: %w", path, err)
	}
	if digest := samplesDigest(e.Decisions); digest != e.SamplesDigest {
		return nil, fmt.Errorf("load evaluation %s: its decisions hash to %.12s, its samples_digest says %.12s", path, digest, e.SamplesDigest)
	}
	return &e, nil
}
