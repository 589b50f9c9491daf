package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"so8t/contract"
	"so8t/dataset"
	"so8t/disk"
	"so8t/evaluation"
	"so8t/evaluation/report"
	"so8t/export"
	"so8t/rundir"
)

// Compare tests the two evaluations against each other, writes the report, and points
// final_model/current at the merged model if the promotion gate passes.
func (a *Activities) Compare(ctx context.Context, in contract.CompareInput) (contract.CompareResult, error) {
	j, ctx, err := a.begin(ctx, in.Run)
	if err != nil {
		return contract.CompareResult{}, err
	}
	defer j.end()
	result, err := j.compare(ctx)
	if err == nil && in.Run.Night != nil {
		var failed error
		if result.Removed, failed = j.PruneNights(ctx, in.Run, a.running); failed != nil {
			j.log.Warn("old nights stay", "reason", failed) // the result counts all the same
		}
	}
	return result, j.outcome(ctx, err)
}

func (j *job) compare(ctx context.Context) (out contract.CompareResult, err error) {
	if err := j.countStart("comparing"); err != nil {
		return out, err
	}
	base, err := evaluation.Load(j.Evaluation(rundir.Base))
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	retrained, err := evaluation.Load(j.Evaluation(rundir.Retrained))
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	split, err := dataset.ReadManifest(j.Splits())
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	c := j.run.Config
	result, err := evaluation.Compare(base, retrained, evaluation.CompareOptions{
		Alpha: c.ABTest.Alpha, Resamples: c.ABTest.BootstrapSamples, Seed: uint64(c.ABTest.Seed),
		Promotion: evaluation.Promotion{
			Alpha: c.Promotion.Alpha, MinAccuracyGain: c.Promotion.MinAccuracyGain, MaxFalseAllowIncrease: c.Promotion.MaxFalseAllowIncrease,
			MinWellFormedRate: c.Promotion.MinWellFormedRate, MaxOverRefusalRate: c.Promotion.MaxOverRefusalRate,
			MinLossReduction: c.Promotion.MinLossReduction,
		},
		NearDuplicates: split.LookedForNearDuplicates(),
	})
	if err != nil {
		return out, fail(contract.ErrEvaluation, err)
	}
	data, err := j.reportData(base, retrained)
	if err != nil {
		return out, err
	}
	if err := j.Lease.During(func() error { return report.Write(j.ABTest(), result, data) }); err != nil {
		return out, err
	}
	out = contract.CompareResult{
		Verdict: result.Verdict, Reasons: result.Reasons, PValue: float64(result.PValue()),
		Table:  report.Table(result),
		Report: j.ABTestReport(), Results: j.ABTestResults(),
	}
	if result.Verdict == evaluation.Promote {
		if out.Promoted, err = j.Promote(); err == nil && j.run.Night != nil {
			out.Promoted, err = j.PromoteNight(ctx, *j.run.Night)
		}
		if err != nil {
			return out, fmt.Errorf("promote: %w", directoryError(err, j.run.WorkflowID))
		}
	}
	j.log.Info("compared", "verdict", result.Verdict, "p", out.PValue, "report", out.Report)
	return out, nil
}

// reportData describes the run in the report. The loss curve comes from the exported model's metadata.
func (j *job) reportData(base, retrained *evaluation.Evaluation) (d report.Data, err error) {
	var m export.Metadata
	if err := disk.ReadJSON(j.Metadata(), &m); err != nil {
		return d, fail(contract.ErrEvaluation, fmt.Errorf("report: %w", err))
	}
	d = report.Data{
		BaseModel: j.run.BasePath, BaseDigest: m.BaseDigest, Dataset: m.Dataset, DatasetDigest: m.DatasetDigest,
		Config: j.run.ConfigPath, ConfigDigest: m.ConfigDigest, WorkflowID: m.WorkflowID,
		StartedAt: base.StartedAt, FinishedAt: retrained.FinishedAt,
		Details: []report.Detail{
			{Name: "Optimizer steps", Value: fmt.Sprintf("%d of %d", m.Position.Step, m.TotalSteps)},
			{Name: "Trained parameters", Value: fmt.Sprint(m.Parameters)},
			{Name: "Merged against trained", Value: fmt.Sprintf("the same next token in %.1f %% of %d places", 100*m.Merged.SameNextToken, m.Merged.Positions)},
		},
	}
	d.Details = append(d.Details, j.dataDetails(m)...)
	for _, p := range m.Curve.Train {
		d.TrainLoss = append(d.TrainLoss, report.Point{Step: p.Step, Loss: p.Loss})
	}
	for _, p := range m.Curve.Eval {
		d.ValidationLoss = append(d.ValidationLoss, report.Point{Step: p.Step, Loss: p.Loss})
	}
	return d, nil
}

// dataDetails name the input files, of many the first, and the data card.
func (j *job) dataDetails(m export.Metadata) (list []report.Detail) {
	const most = 10
	for _, f := range m.Datasets[:min(most, len(m.Datasets))] {
		list = append(list, report.Detail{Name: "Input file", Value: f.Path + ", SHA-256 " + f.SHA256})
	}
	if more := len(m.Datasets) - most; more > 0 {
		list = append(list, report.Detail{Name: "Input files", Value: fmt.Sprintf("%d more, named in the metadata", more)})
	}
	if _, err := os.Stat(j.DataCard()); err == nil {
		list = append(list, report.Detail{Name: "Data card", Value: filepath.Base(j.DataCard()), Link: "../splits/" + filepath.Base(j.DataCard())})
	}
	return list
}
