package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"so8t/contract"
	"so8t/dataset"
	"so8t/disk"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/engine/phi3"
	"so8t/evaluation"
	"so8t/export"
	"so8t/export/merged"
	"so8t/export/peft"
	"so8t/native"
	"so8t/rundir"
	"so8t/tokenizer"
	"so8t/version"
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

func (j *job) export(ctx context.Context, in contract.ExportInput) (out contract.ExportResult, err error) {
	j.beat.tell(contract.Progress{Phase: contract.PhaseExport, Detail: "loading the newest checkpoint"})
	store, err := j.openStore(in.DatasetDigest)
	if err != nil {
		return out, err
	}
	state, info, err := store.LatestMapped(ctx)
	if errors.Is(err, checkpoint.ErrNone) {
		return out, fail(contract.ErrData, fmt.Errorf("export: nothing was trained: no checkpoint in %s", j.Checkpoints()))
	}
	if err != nil {
		return out, otherRun(err)
	}
	defer state.Release()
	key, err := rundir.Key(info.Digest, j.identity(in.DatasetDigest))
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
		return j.exportState(ctx, in, state, info)
	})
}

// exportState fills final_model: first the files, from the checkpoint alone, then what two models answer about them.
func (j *job) exportState(ctx context.Context, in contract.ExportInput, state *checkpoint.State, info checkpoint.Info) (out contract.ExportResult, err error) {
	b, err := j.bundle(state, info)
	if err != nil {
		return out, err
	}
	m, err := j.metadata(in, b)
	if err != nil {
		return out, err
	}
	if err := j.Lease.During(func() error { return disk.MakeDir(j.FinalModel()) }); err != nil {
		return out, err
	}
	if err := j.holdDevice(ctx); err != nil {
		return out, err
	}
	if err := j.writeModels(ctx, b, m); err != nil {
		return out, err
	}
	j.tellExport("comparing the merged model with the trained one")
	if m.Merged, err = j.compareMerged(ctx); err != nil {
		return out, err
	}
	if m.Device.Algorithms, err = j.algorithmsDigest(ctx); err != nil {
		return out, err
	}
	for _, f := range adapterFiles(j.Layout) {
		name, _ := filepath.Rel(j.FinalModel(), f)
		if m.SHA256[name], err = engine.FileDigest(ctx, f); err != nil {
			return out, err
		}
	}
	if err := j.Lease.During(func() error { return disk.ReplaceJSON(j.Metadata(), m) }); err != nil {
		return out, err
	}
	sum := m.SHA256[filepath.Join(filepath.Base(j.Adapter()), filepath.Base(j.AdapterWeights()))]
	j.log.Info("exported", "dir", j.FinalModel(), "adapter_sha256", sum, "max_logit_difference", m.Merged.MaxDifference,
		"same_next_token", m.Merged.SameNextToken, "same_decisions", m.Merged.SameDecisions, "of", m.Merged.Decisions)
	summary := fmt.Sprintf("step %d; merged and trained model choose the same next token in %.1f %% of %d places",
		state.Position.Step, 100*m.Merged.SameNextToken, m.Merged.Positions)
	if m.Merged.Decisions > 0 {
		summary += fmt.Sprintf(", and decide alike in %d of %d", m.Merged.SameDecisions, m.Merged.Decisions)
	}
	return contract.ExportResult{Dir: j.FinalModel(), AdapterSHA256: sum, Summary: summary}, nil
}

func (j *job) tellExport(detail string) {
	j.beat.tell(contract.Progress{Phase: contract.PhaseExport, Detail: detail})
}

func (j *job) bundle(state *checkpoint.State, info checkpoint.Info) (*export.Bundle, error) {
	config, err := phi3.LoadConfig(j.run.BasePath)
	if err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	o := modelOptions(j.run)
	plan, err := engine.PlanAdapter(config, o.LoRA, o.Gates)
	if err != nil {
		return nil, fail(contract.ErrModel, err)
	}
	b, err := export.New(j.run.BasePath, plan, state, info)
	return b, fail(contract.ErrOutputOther, err)
}

// metadata is what is known before anything is written.
func (j *job) metadata(in contract.ExportInput, b *export.Bundle) (*export.Metadata, error) {
	split, err := dataset.ReadManifest(j.Splits())
	if err != nil {
		return nil, fail(contract.ErrData, err)
	}
	c, versions := j.run.Config, b.Versions
	if now := version.Current(); !slices.Contains(versions, now) {
		versions = append(slices.Clip(versions), now)
	}
	var datasets []export.Dataset
	for _, f := range split.Files() {
		datasets = append(datasets, export.Dataset{Path: f.Path, SHA256: f.SHA256})
	}
	return &export.Metadata{
		WorkflowID: j.run.WorkflowID, ExportedAt: time.Now().UTC(), BaseModel: j.run.BasePath, BaseDigest: j.run.BaseDigest,
		Dataset: j.run.InputPath, DatasetDigest: in.DatasetDigest, Datasets: datasets,
		ConfigDigest: c.Digest(), TrainingDigest: c.TrainingDigest(),
		Config: c, Position: b.Position, TotalSteps: trainerOptions(c).TotalSteps(int(split.Train.Samples)), Parameters: b.Plan.Trained(),
		Curve: b.Curve, SHA256: map[string]string{}, Versions: versions,
	}, nil
}

// writeModels writes the adapters and the merged model, and notes in m on which device.
func (j *job) writeModels(ctx context.Context, b *export.Bundle, m *export.Metadata) (err error) {
	merger, err := engine.OpenMerger(modelOptions(j.run))
	if err != nil {
		return fail(contract.ErrModel, err)
	}
	defer func() { err = errors.Join(err, merger.Close()) }()
	j.tellExport("adapters")
	if err := peft.Write(j.Lease, adapterFolders(j.Layout), b); err != nil {
		return err
	}
	j.tellExport("merged model")
	if err := merged.Write(ctx, j.Lease, j.Merged(), b, merger, merged.ShardBytes); err != nil {
		return err
	}
	if m.GateDeviation, err = merger.GateDeviation(ctx, b.Plan, b.Trained); err != nil {
		return err
	}
	info, err := merger.Info()
	m.Device = deviceOf(info)
	return err
}

func deviceOf(info native.Info) export.Device { return export.Device{Name: info.Name, ISA: info.ISA} }

// algorithmsDigest names the GPU algorithms of the run, once nothing adds to them any more; empty on the CPU.
func (j *job) algorithmsDigest(ctx context.Context) (string, error) {
	sum, err := engine.FileDigest(ctx, j.Algorithms())
	if errors.Is(err, fs.ErrNotExist) { // only GPUs write one
		return "", nil
	}
	return sum, err
}

const (
	mergeSamples = 8  // whose logits are compared between trained and merged model
	mergeLabels  = 64 // whose decisions are
)

// compareMerged asks the base with its adapters, and then the merged model in 16 bits as its users will open it.
func (j *job) compareMerged(ctx context.Context) (r export.MergeReport, err error) {
	c := j.run.Config
	o := modelOptions(j.run)
	o.MaxLength = c.Data.MaxSeqLength
	o.MaxTokens = trainingOptions(j.run).MaxTokens
	trained, err := j.probe(ctx, o, func(m *engine.Model) error { return peft.Load(ctx, m, adapterFolders(j.Layout)) })
	if err != nil {
		return r, fmt.Errorf("trained model: %w", err)
	}
	o.BasePath, o.Int8 = j.Merged(), false
	o.LoRA.TargetModules, o.Gates.Enabled = nil, false
	o.MaxTokens = 2 * c.Data.MaxSeqLength
	alone, err := j.probe(ctx, o, func(*engine.Model) error { return nil })
	if err != nil {
		return r, fmt.Errorf("merged model: %w", err)
	}
	r = export.CompareLogits(trained.logits, alone.logits)
	r.Decisions = len(trained.decisions)
	for i, d := range trained.decisions {
		if alone.decisions[i].Decided == d.Decided {
			r.SameDecisions++
		}
	}
	return r, nil
}

// probed is what a model answers on the first test samples.
type probed struct {
	logits    [][][]float32
	decisions []evaluation.Decision
}

// probe opens a model for answering, and closes it again: two at once would double the memory.
func (j *job) probe(ctx context.Context, o engine.Options, load func(*engine.Model) error) (p probed, err error) {
	test, err := dataset.Open(j.Samples(rundir.Test))
	if err != nil {
		return p, fail(contract.ErrData, err)
	}
	defer test.Close()
	tok, err := tokenizer.Load(j.run.BasePath)
	if err != nil {
		return p, fail(contract.ErrModel, err)
	}
	m, err := engine.Open(ctx, o)
	if err != nil {
		return p, err
	}
	defer m.Close()
	if err := load(m); err != nil {
		return p, err
	}
	const longest = 256 // of a sample's tokens, so that the logits stay small
	var inputs [][]int32
	for i := range min(mergeSamples, test.Len()) {
		ids := test.At(i).InputIDs
		inputs = append(inputs, ids[:min(longest, len(ids))])
	}
	if p.logits, err = m.Logits(ctx, inputs); err != nil {
		return p, err
	}
	if !j.run.Config.Data.FourClass {
		return p, nil
	}
	p.decisions, err = evaluation.DecideForced(ctx, m, tok, test, mergeLabels)
	return p, err
}
