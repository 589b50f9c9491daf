// Package rundir is a run's output directory: the paths in it, the run that owns it, and what one attempt
// leaves there for the next. An attempt writes below output_dir only while it holds the directory's lease (see
// Dir). The exceptions are run.json, which Take writes under a lock of its own, the run's log, and the native
// library's file of algorithms.
package rundir

import (
	"path/filepath"
	"strings"
)

// Layout is the path of an output directory and gives those of its files. It reads and writes nothing.
type Layout string

func (l Layout) join(parts ...string) string {
	return filepath.Join(append([]string{string(l)}, parts...)...)
}

// Parts of a split dataset.
const (
	Train      = "train"
	Validation = "val"
	Test       = "test"
)

// Models that are evaluated.
const (
	Base      = "base"
	Retrained = "retrained"
)

func (l Layout) Splits() string               { return l.join("splits") }
func (l Layout) Samples(part string) string   { return l.join("splits", part+".arrow") }
func (l Layout) SplitManifest() string        { return l.join("splits", "manifest.json") }
func (l Layout) PolicyReport() string         { return l.join("splits", "policy_report.json") }
func (l Layout) DataCard() string             { return l.join("splits", "data_card.html") }
func (l Layout) Checkpoints() string          { return l.join("checkpoints") }
func (l Layout) FinalModel() string           { return l.join("final_model") }
func (l Layout) Adapter() string              { return l.join("final_model", "adapter") }
func (l Layout) AdapterOFT() string           { return l.join("final_model", "adapter_oft") }
func (l Layout) Merged() string               { return l.join("final_model", "merged") }
func (l Layout) Metadata() string             { return l.join("final_model", "so8t_retraining_metadata.json") }
func (l Layout) Current() string              { return l.join("final_model", "current") } // link to the promoted merged model
func (l Layout) Evaluation(m string) string   { return l.join("evaluation", m+".json") }
func (l Layout) ABTest() string               { return l.join("ab_test") }
func (l Layout) ABTestResults() string        { return l.join("ab_test", "ab_test_results.json") }
func (l Layout) ABTestReport() string         { return l.join("ab_test", "ab_test_report.html") }
func (l Layout) PerformanceReport() string    { return l.join("performance_report.json") }
func (l Layout) Log(workflowID string) string { return l.join("logs", FileName(workflowID)+".log") }

// AdapterWeights and AdapterOFTWeights are the tensors of the two adapters.
func (l Layout) AdapterWeights() string {
	return filepath.Join(l.Adapter(), "adapter_model.safetensors")
}
func (l Layout) AdapterOFTWeights() string {
	return filepath.Join(l.AdapterOFT(), "adapter_model.safetensors")
}

// Checkpoint is the folder of one checkpoint.
func (l Layout) Checkpoint(name string) string { return l.join("checkpoints", name) }

// Algorithms is the file of those that a GPU's products use. Training and evaluation share it, and so does
// every attempt, so that a resumed run computes the same bits.
func (l Layout) Algorithms() string { return l.join("products.choices") }

// Night is the directory of one night, where l is the output_dir that all nights of a configuration share.
func (l Layout) Night(name string) Layout { return Layout(l.join(name)) }

func (l Layout) owner() string               { return l.join("run.json") }
func (l Layout) ownerLock() string           { return l.join(".owner") }
func (l Layout) nightsLock() string          { return l.join(".nights") }
func (l Layout) starts() string              { return l.join(".starts.json") }
func (l Layout) done(what string) string     { return l.join(".done", what+".json") }
func (l Layout) journal(what string) string  { return l.join(".done", what+".jsonl") }
func (l Layout) removed(night string) string { return l.join("." + night + ".removed") } // a night while it is deleted

// WorkflowIDMark in output_dir stands for the workflow's id.
const WorkflowIDMark = "{workflow_id}"

// Expand puts the workflow's id into output_dir.
func Expand(outputDir, workflowID string) string {
	return strings.ReplaceAll(outputDir, WorkflowIDMark, FileName(workflowID))
}

// FileName replaces what a file name may not contain.
func FileName(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, id)
}
