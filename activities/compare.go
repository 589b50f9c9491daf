package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"so8t/contract"
	"so8t/disk"
	"so8t/evaluation"
	"so8t/export"
)

// Compare tests the two evaluations against each other, writes the report, and moves
// final_model/current to the merged model if the gate says promote.
func (a *Activities) Compare(ctx context.Context, in contract.CompareInput) (contract.CompareResult, error) {
	j, ctx, err := a.begin(ctx, in.Run)
	if err != nil {
		return contract.CompareResult{}, err
	}
	defer j.end()
	result, err := j.compare(ctx)
	if err == nil && in.Run.Night != nil {
		var kept error
		if result.Removed, kept = j.pruneNights(ctx, a); kept != nil {
			j.log.Warn("old nights stay", "reason", kept) // the model counts
		}
	}
	return result, j.outcome(ctx, err)
}

func (j *job) compare(ctx context.Context) (out contract.CompareResult, err error) {
	if err := j.countStart("comparing"); err != nil {
		return out, err
	}
	base, err := evaluation.Load(j.path("evaluation", "base.json"))
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	retrained, err := evaluation.Load(j.path("evaluation", "retrained.json"))
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	c := j.run.Config
	result, err := evaluation.Compare(base, retrained, evaluation.CompareOptions{
		Alpha: c.ABTest.Alpha, Resamples: c.ABTest.BootstrapSamples, Seed: uint64(c.ABTest.Seed),
		Promotion: evaluation.Promotion{
			Alpha: c.Promotion.Alpha, MinAccuracyGain: c.Promotion.MinAccuracyGain, MaxFalseAllowIncrease: c.Promotion.MaxFalseAllowIncrease,
			MinWellFormedRate: c.Promotion.MinWellFormedRate, MaxOverRefusalRate: c.Promotion.MaxOverRefusalRate,
		},
	})
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	data, err := j.reportData(base, retrained)
	if err != nil {
		return out, err
	}
	dir := j.path("ab_test")
	if err := j.lease.During(func() error { return evaluation.WriteReport(dir, result, data) }); err != nil {
		return out, err
	}
	out = contract.CompareResult{
		Verdict: result.Verdict, Reasons: result.Reasons, PValue: float64(result.McNemar.PValue),
		Table:  result.Table(),
		Report: filepath.Join(dir, evaluation.ReportName), Results: filepath.Join(dir, evaluation.ResultsName),
	}
	if result.Verdict == evaluation.Promote {
		if out.Promoted, err = j.promote(); err == nil && j.run.Night != nil {
			out.Promoted, err = j.promoteNight(ctx)
		}
		if err != nil {
			return out, fmt.Errorf("promote: %w", err)
		}
	}
	j.log.Info("compared", "verdict", result.Verdict, "p", out.PValue, "report", out.Report)
	return out, nil
}

// reportData is what the report tells about the run. The curve comes from the exported
// model's metadata.
func (j *job) reportData(base, retrained *evaluation.Evaluation) (d evaluation.ReportData, err error) {
	var m export.Metadata
	if err := disk.ReadJSON(j.path("final_model", export.MetadataName), &m); err != nil {
		return d, fail(contract.ErrEvaluation, fmt.Errorf("report: %w", err))
	}
	d = evaluation.ReportData{
		BaseModel: j.run.BasePath, BaseDigest: m.BaseDigest, Dataset: m.Dataset, DatasetDigest: m.DatasetDigest,
		Config: j.run.ConfigPath, ConfigDigest: m.ConfigDigest, WorkflowID: m.WorkflowID,
		StartedAt: base.StartedAt, FinishedAt: retrained.FinishedAt,
		Details: []evaluation.Detail{
			{Name: "Optimizer steps", Value: fmt.Sprintf("%d of %d", m.Position.Step, m.TotalSteps)},
			{Name: "Trained parameters", Value: fmt.Sprint(m.Parameters)},
			{Name: "Merged against trained", Value: fmt.Sprintf("the same next token in %.1f %% of %d places", 100*m.Merged.SameNextToken, m.Merged.Positions)},
		},
	}
	for _, p := range m.Curve.Train {
		d.TrainLoss = append(d.TrainLoss, evaluation.Point{Step: p.Step, Loss: p.Loss})
	}
	for _, p := range m.Curve.Eval {
		d.ValidationLoss = append(d.ValidationLoss, evaluation.Point{Step: p.Step, Loss: p.Loss})
	}
	return d, nil
}

// promote points final_model/current at the merged model.
func (j *job) promote() (link string, err error) {
	link = j.path("final_model", currentName)
	return link, j.lease.During(func() error { return point(link, export.MergedDir) })
}

// point makes link lead to target, durably. A reader of the link sees the old target or the
// new one, never none.
func point(link, target string) error {
	dir, name := filepath.Split(link)
	if err := disk.MakeDir(filepath.Clean(dir)); err != nil {
		return err
	}
	fresh := filepath.Join(dir, "."+name+"-new")
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	if err := disk.SyncDir(dir); err != nil { // the new name leads somewhere before it replaces the old one
		return err
	}
	if err := os.Rename(fresh, link); err != nil {
		return err
	}
	return disk.SyncDir(dir)
}
