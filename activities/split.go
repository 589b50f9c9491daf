package activities

import (
	"context"
	"errors"
	"fmt"

	"so8t/contract"
	"so8t/dataset"
	"so8t/dataset/card"
	"so8t/disk"
	"so8t/tokenizer"
)

// Split turns the input files into training, validation and test samples.
func (a *Activities) Split(ctx context.Context, run contract.Run) (contract.SplitResult, error) {
	j, ctx, err := a.begin(ctx, run)
	if err != nil {
		return contract.SplitResult{}, err
	}
	defer j.end()
	result, err := j.split(ctx)
	return result, j.outcome(ctx, err)
}

func (j *job) split(ctx context.Context) (out contract.SplitResult, err error) {
	if len(j.run.InputPaths) == 0 { // claimed by a version that read one file
		j.run.InputPaths = []string{j.run.InputPath}
	}
	progress := contract.Progress{Phase: contract.PhaseSplit, Detail: j.run.Inputs()}
	j.beat.tell(progress)
	if err := j.countStart("splitting"); err != nil {
		return out, err
	}
	o, err := SplitOptions(j.run.Config)
	if err != nil {
		return out, fail(contract.ErrConfig, err)
	}
	if o.Tokenizer, err = tokenizer.Load(j.run.BasePath); err != nil {
		return out, fail(contract.ErrModel, err)
	}
	ctx, cancel := j.untilStopped(ctx)
	defer cancel()
	o.Paths, o.Dir, o.Lease, o.Card, o.Trained = j.run.InputPaths, j.Splits(), j.Lease, card.Write, j.Trained()
	o.Progress = func(read, size int64) {
		progress.Done, progress.Total = int(read), int(size)
		j.beat.tell(progress)
	}
	m, err := dataset.Split(ctx, o)
	var input *dataset.InputError
	if errors.As(err, &input) {
		return out, fail(contract.ErrData, err)
	}
	if err != nil {
		return out, err
	}
	out, err = j.splitResult(m)
	j.log.Info("split", "input", m.InputPath, "train", m.Train.Samples, "val", m.Val.Samples, "test", m.Test.Samples,
		"bad", m.Bad, "too_long", m.TooLong, "removed", out.Removed, "digest", out.DatasetDigest, "made_before", m.Reused)
	for _, note := range out.Notes {
		j.log.Info(note)
	}
	return out, err
}

// splitResult counts what a finished split holds, with the notes of its report.
func (j *job) splitResult(m *dataset.Manifest) (out contract.SplitResult, err error) {
	out = contract.SplitResult{DatasetDigest: m.Identity(), Train: m.Train.Samples, Val: m.Val.Samples, Test: m.Test.Samples,
		Bad: m.Bad, TooLong: m.TooLong, TrainTokens: m.Train.Tokens, Report: j.PolicyReport()}
	for _, n := range m.Removed {
		out.Removed += n
	}
	if m.Train.Samples == 0 || m.Test.Samples == 0 {
		return out, fail(contract.ErrData, fmt.Errorf("%s: %d training and %d test samples: too few records to train and to judge",
			m.InputPath, m.Train.Samples, m.Test.Samples))
	}
	var report dataset.Report
	if err := disk.ReadJSON(out.Report, &report); err != nil {
		return out, err
	}
	out.Notes = bounded(report.Notes(out.Report))
	return out, nil
}

// bounded keeps what a history holds of notes small, whatever stands in the data.
func bounded(notes []string) (list []string) {
	const most, longest = 30, 400
	for i, note := range notes {
		if i == most-1 && len(notes) > most {
			return append(list, fmt.Sprintf("%d more notes in the log", len(notes)-i))
		}
		if runes := []rune(note); len(runes) > longest {
			note = string(runes[:longest]) + " …"
		}
		list = append(list, note)
	}
	return list
}
