package activities

import (
	"context"
	"errors"
	"fmt"

	"so8t/contract"
	"so8t/dataset"
	"so8t/tokenizer"
)

// Split turns the JSONL into training, validation and test samples.
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
	j.beat.tell(contract.Progress{Phase: contract.PhaseSplit, Detail: j.run.InputPath})
	if err := j.countStart("splitting"); err != nil {
		return out, err
	}
	tok, err := tokenizer.Load(j.run.BasePath)
	if err != nil {
		return out, fail(contract.ErrModel, err)
	}
	ctx, cancel := j.untilStopped(ctx)
	defer cancel()
	c := j.run.Config
	progress := contract.Progress{Phase: contract.PhaseSplit, Detail: j.run.InputPath}
	m, err := dataset.Split(ctx, dataset.SplitOptions{
		Paths: []string{j.run.InputPath}, Dir: j.Splits(), Tokenizer: tok,
		MaxSeqLength: c.Data.MaxSeqLength, QuadrupleThinking: c.Data.UseQuadrupleThinking,
		MaxBadFraction: c.Data.MaxBadFraction, Seed: uint64(c.Training.Seed), Lease: j.Lease,
		Progress: func(read, size int64) {
			progress.Done, progress.Total = int(read), int(size)
			j.beat.tell(progress)
		},
	})
	var input *dataset.InputError
	if errors.As(err, &input) {
		return out, fail(contract.ErrData, err)
	}
	if err != nil {
		return out, err
	}
	j.log.Info("split", "input", m.InputPath, "train", m.Train.Samples, "val", m.Val.Samples, "test", m.Test.Samples,
		"bad", m.Bad, "too_long", m.TooLong, "digest", m.DatasetDigest, "made_before", m.Reused)
	if m.Train.Samples == 0 || m.Test.Samples == 0 {
		return out, fail(contract.ErrData, fmt.Errorf("%s: %d training and %d test samples: too few records to train and to judge",
			m.InputPath, m.Train.Samples, m.Test.Samples))
	}
	return contract.SplitResult{DatasetDigest: m.DatasetDigest, Train: m.Train.Samples, Val: m.Val.Samples, Test: m.Test.Samples,
		Bad: m.Bad, TrainTokens: m.Train.Tokens}, nil
}
