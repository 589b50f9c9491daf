package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"so8t/configs"
	"so8t/contract"
	"so8t/dataset"
	"so8t/disk"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/evaluation"
	"so8t/native"
	"so8t/rundir"
	"so8t/tokenizer"
)

// Export writes what leaves the run: the adapters as PEFT reads them, the merged model as
// transformers reads it, and the metadata that says where they come from.
func (a *Activities) Export(ctx context.Context, in contract.ExportInput) (contract.ExportResult, error) {
	j, ctx, err := a.begin(ctx, in.Run)
	if err != nil {
		return contract.ExportResult{}, err
	}
	defer j.end()
	result, err := j.export(ctx, in)
	return result, j.outcome(ctx, err)
}

// metadata is so8t_retraining_metadata.json.
type metadata struct {
	WorkflowID     string              `json:"workflow_id"`
	ExportedAt     time.Time           `json:"exported_at"`
	BaseModel      string              `json:"base_model"`
	BaseDigest     string              `json:"base_digest"`
	Dataset        string              `json:"dataset"`
	DatasetDigest  string              `json:"dataset_digest"`
	ConfigDigest   string              `json:"config_digest"`
	TrainingDigest string              `json:"training_digest"`
	Config         configs.Config      `json:"config"`
	Position       checkpoint.Position `json:"position"`
	TotalSteps     int                 `json:"total_steps"`
	Parameters     int64               `json:"trained_parameters"`
	Curve          engine.Curve        `json:"curve"`
	SHA256         map[string]string   `json:"sha256"`
	Device         computedOn          `json:"device"`
	GateDeviation  float64             `json:"gate_deviation"` // largest |RᵀR − I| of any gate
	Merged         mergedReport        `json:"merged_against_trained"`
}

// computedOn says what exported the model, and which of a GPU's algorithms computed it.
type computedOn struct {
	Name    string `json:"name"`
	ISA     string `json:"isa"`
	Choices string `json:"products_choices_sha256,omitempty"`
}

// mergedReport says how far the merged model is from the trained one.
type mergedReport struct {
	engine.MergeReport
	Decisions     int `json:"decisions"`      // samples whose labels both models scored
	SameDecisions int `json:"same_decisions"` // of them
}

const (
	shardBytes   = 2 << 30 // of a merged model's files
	mergeSamples = 8       // whose logits are compared between trained and merged model
	mergeLabels  = 64      // whose decisions are
)

func (j *job) export(ctx context.Context, in contract.ExportInput) (out contract.ExportResult, err error) {
	j.beat.tell(contract.Progress{Phase: contract.PhaseExport, Detail: "loading the newest checkpoint"})
	e := &epoch{job: j, in: contract.TrainInput{Run: in.Run, DatasetDigest: in.DatasetDigest}}
	state, info, err := e.newest(ctx)
	if err != nil {
		return out, err
	}
	if state == nil {
		return out, fail(contract.ErrData, fmt.Errorf("export: nothing was trained: no checkpoint in %s", j.Checkpoints()))
	}
	final := j.FinalModel()
	key, err := rundir.Key(info.Digest, e.identity())
	if err != nil {
		return out, err
	}
	files := []string{j.Metadata(), filepath.Join(j.Merged(), "config.json")}
	return rundir.Once(j.Dir, "export", key, append(files, adapterFiles(j.Layout)...), func() (contract.ExportResult, error) {
		if err := j.countStart(fmt.Sprintf("export of step %d", state.Position.Step)); err != nil {
			return out, err
		}
		ctx, cancel := j.untilStopped(ctx)
		defer cancel()
		return e.write(ctx, state, final)
	})
}

// write fills final_model.
func (e *epoch) write(ctx context.Context, state *checkpoint.State, final string) (out contract.ExportResult, err error) {
	if err := disk.MakeDir(final); err != nil {
		return out, err
	}
	closeAll, err := e.prepare(ctx, state)
	if err != nil {
		return out, err
	}
	defer func() { closeAll() }()
	tell := func(detail string) { e.beat.tell(contract.Progress{Phase: contract.PhaseExport, Detail: detail}) }
	tell("adapters")
	if err := e.model.SaveAdapter(ctx, e.Lease, final); err != nil {
		return out, err
	}
	tell("merged model")
	merged := e.Merged()
	if err := e.model.SaveMerged(ctx, e.Lease, merged, shardBytes); err != nil {
		return out, err
	}
	tell("comparing the merged model with the trained one")
	trained, err := e.probe(ctx, e.model)
	if err != nil {
		return out, err
	}
	m := metadata{
		WorkflowID: e.run.WorkflowID, ExportedAt: time.Now().UTC(), BaseModel: e.run.BasePath, BaseDigest: e.run.BaseDigest,
		Dataset: e.run.InputPath, DatasetDigest: e.in.DatasetDigest, ConfigDigest: e.run.Config.Digest(), TrainingDigest: e.run.Config.TrainingDigest(),
		Config: e.run.Config, Position: state.Position, TotalSteps: e.trainer.TotalSteps(), Parameters: e.model.TrainedParameters(),
		Curve: e.trainer.Curve(), SHA256: map[string]string{},
	}
	if m.GateDeviation, err = e.model.GateDeviation(ctx); err != nil {
		return out, err
	}
	info, err := e.model.Info()
	if err != nil {
		return out, err
	}
	closeAll() // two models at once would double the memory
	closeAll = func() {}
	if m.Merged, err = e.compareMerged(ctx, merged, trained); err != nil {
		return out, err
	}
	if m.Device, err = e.computedOn(ctx, info); err != nil {
		return out, err
	}
	for _, f := range adapterFiles(e.Layout) {
		name, _ := filepath.Rel(final, f)
		if m.SHA256[name], err = engine.FileDigest(ctx, f); err != nil {
			return out, err
		}
	}
	if err := e.Lease.During(func() error { return disk.ReplaceJSON(e.Metadata(), m) }); err != nil {
		return out, err
	}
	sum := m.SHA256[filepath.Join(filepath.Base(e.Adapter()), filepath.Base(e.AdapterWeights()))]
	e.log.Info("exported", "dir", final, "adapter_sha256", sum, "max_logit_difference", m.Merged.MaxDifference, "same_next_token", m.Merged.SameNextToken,
		"same_decisions", m.Merged.SameDecisions, "of", m.Merged.Decisions)
	return contract.ExportResult{Dir: final, AdapterSHA256: sum,
		Summary: fmt.Sprintf("step %d; merged and trained model choose the same next token in %.1f %% of %d places, and decide alike in %d of %d",
			state.Position.Step, 100*m.Merged.SameNextToken, m.Merged.Positions, m.Merged.SameDecisions, m.Merged.Decisions)}, nil
}

// computedOn describes the device; its choices are looked at once nothing adds to them any more.
func (j *job) computedOn(ctx context.Context, info native.Info) (c computedOn, err error) {
	c = computedOn{Name: info.Name, ISA: info.ISA}
	c.Choices, err = engine.FileDigest(ctx, j.Algorithms())
	if errors.Is(err, fs.ErrNotExist) { // only GPUs write one
		err = nil
	}
	return c, err
}

// probed is what a model answers on the first test samples.
type probed struct {
	logits    [][][]float32
	decisions []evaluation.Decision
}

func (e *epoch) probe(ctx context.Context, m *engine.Model) (p probed, err error) {
	test, err := dataset.Open(e.Samples(rundir.Test))
	if err != nil {
		return p, fail(contract.ErrData, err)
	}
	defer test.Close()
	const longest = 256 // of a sample's tokens, so that the logits stay small
	var inputs [][]int32
	for i := range min(mergeSamples, test.Len()) {
		ids := test.At(i).InputIDs
		inputs = append(inputs, append([]int32(nil), ids[:min(longest, len(ids))]...))
	}
	if p.logits, err = m.Logits(ctx, inputs); err != nil {
		return p, err
	}
	words, err := tokenizer.Load(e.run.BasePath)
	if err != nil {
		return p, fail(contract.ErrModel, err)
	}
	p.decisions, err = evaluation.DecideForced(ctx, m, words, test, mergeLabels)
	return p, err
}

// compareMerged opens the merged model as its users will, in 16 bit, and compares what it answers.
func (e *epoch) compareMerged(ctx context.Context, dir string, trained probed) (r mergedReport, err error) {
	o := modelOptions(e.run)
	o.BasePath, o.Int8 = dir, false
	o.LoRA.TargetModules, o.Gates.Enabled = nil, false
	o.MaxTokens = 2 * e.run.Config.Data.MaxSeqLength
	o.MaxLength = e.run.Config.Data.MaxSeqLength
	model, err := engine.Open(ctx, o)
	if err != nil {
		return r, fmt.Errorf("reload the merged model: %w", err)
	}
	defer model.Close()
	merged, err := e.probe(ctx, model)
	if err != nil {
		return r, fmt.Errorf("merged model: %w", err)
	}
	r.MergeReport = engine.CompareLogits(trained.logits, merged.logits)
	r.Decisions = len(trained.decisions)
	for i, d := range trained.decisions {
		if merged.decisions[i].Decided == d.Decided {
			r.SameDecisions++
		}
	}
	return r, nil
}
