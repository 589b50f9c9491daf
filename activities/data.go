package activities

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"so8t/configs"
	"so8t/contract"
	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/policy"
	"so8t/rundir"
)

// claimedData is what a run reads, and under which policy.
type claimedData struct {
	input  *source.Input
	policy *policy.Policy
}

// claimData finds the run's input files and opens each, checks the keys of the sections data and policy that only their
// packages know, and notes the files and the folder of robots files in the run.
func claimData(run *contract.Run) (d claimedData, err error) {
	c := &run.Config
	if dir := c.Policy.RobotsDir; dir != "" {
		if c.Policy.RobotsDir, err = filepath.Abs(dir); err != nil {
			return d, fail(contract.ErrConfig, err)
		}
	}
	o, err := SplitOptions(*c)
	if err != nil {
		return d, fail(contract.ErrConfig, err)
	}
	d.policy = o.Policy
	if _, err = record.NewReader(o.Records); err != nil {
		return d, fail(contract.ErrConfig, err)
	}
	if run.InputPaths, err = source.Resolve(c.Data.InputPath, c.Data.Take); err != nil {
		return d, fail(contract.ErrData, err)
	}
	if len(strings.Join(run.InputPaths, "")) > maxPaths {
		return d, fail(contract.ErrData, fmt.Errorf("data.input_path: %d files are more than a run can list; join some of them", len(run.InputPaths)))
	}
	run.InputPath = run.InputPaths[0]
	d.input, err = source.Open(run.InputPaths)
	return d, fail(contract.ErrData, err)
}

// maxPaths bounds what the names of the input files take of a history, in bytes.
const maxPaths = 1 << 20

// SplitOptions are those of a configuration, without files, tokenizer and lease.
func SplitOptions(c configs.Config) (o dataset.SplitOptions, err error) {
	d := c.Data
	o = dataset.SplitOptions{
		MaxSeqLength: d.MaxSeqLength, QuadrupleThinking: d.UseQuadrupleThinking && d.FourClass, TrainOn: d.TrainOn,
		Records:        record.Options{Format: d.Format, Columns: d.Columns, Labels: d.Labels, UnknownColumns: d.UnknownColumns, FourClass: d.FourClass},
		MaxBadFraction: d.MaxBadFraction, MaxTooLongFraction: d.MaxTooLongFraction, Seed: uint64(c.Training.Seed), Threads: c.Threads,
	}
	o.Policy, err = policy.New(c.Policy)
	return o, err
}

// differs returns a *rundir.OtherRunError if the checkpoints in the run's directory were trained on other data, before
// time is spent on a split that cannot be used. A directory without a manifest is left to the checkpoints' own identity.
func (d claimedData) differs(ctx context.Context, run contract.Run) error {
	l := rundir.Layout(run.OutputDir)
	if !l.Trained() {
		return nil
	}
	before, err := dataset.ReadManifest(l.Splits())
	if err != nil {
		return nil
	}
	list, err := fileDifferences(ctx, before.Files(), d.input)
	if err != nil {
		return err
	}
	if before.FormatVersion > 2 && before.Options.PolicyVersion != d.policy.Version() {
		list = append(list, "the policy's rules or its stored robots.txt files have changed since")
	}
	if len(list) == 0 {
		return nil
	}
	return &rundir.OtherRunError{Dir: run.OutputDir, WorkflowID: run.CheckpointID, Differences: list}
}

// fileDifferences lists by name the files in which two inputs differ. It reads contents only where sizes are equal.
func fileDifferences(ctx context.Context, there []source.File, here *source.Input) (list []string, err error) {
	sameSize := func(a, b source.File) bool { return a.Size == b.Size || a.Size == 0 } // manifests of earlier versions give none
	if slices.EqualFunc(there, here.Files, sameSize) {
		if err := here.Digest(ctx); err != nil {
			return nil, err
		}
		if slices.EqualFunc(there, here.Files, func(a, b source.File) bool { return a.SHA256 == b.SHA256 }) {
			return nil, nil
		}
	}
	if len(there) == 1 && len(here.Files) == 1 {
		return []string{"data.input_path is " + named(there[0]) + " there, " + named(here.Files[0]) + " here"}, nil
	}
	before := map[string]source.File{}
	for _, f := range there {
		before[f.Path] = f
	}
	for _, f := range here.Files {
		b, known := before[f.Path]
		delete(before, f.Path)
		switch {
		case !known:
			list = append(list, named(f)+" is read here only")
		case b.Size != f.Size || f.SHA256 != "" && b.SHA256 != f.SHA256:
			list = append(list, named(b)+" there is "+named(f)+" here")
		}
	}
	for _, f := range there {
		if _, left := before[f.Path]; left {
			list = append(list, named(f)+" is read there only")
		}
	}
	if len(list) == 0 {
		list = append(list, fmt.Sprintf("the %d files are read in another order", len(there)))
	}
	if more := len(list) - maxNamed; more > 0 {
		list = append(list[:maxNamed], fmt.Sprintf("%d files more", more))
	}
	return list, nil
}

const maxNamed = 5 // files in an error

// named is a file's path with what is known of its contents.
func named(f source.File) string {
	switch {
	case f.SHA256 == "":
		return fmt.Sprintf("%s (%d bytes)", f.Path, f.Size)
	case f.Size == 0:
		return fmt.Sprintf("%s (SHA-256 %.12s…)", f.Path, f.SHA256)
	}
	return fmt.Sprintf("%s (%d bytes, SHA-256 %.12s…)", f.Path, f.Size, f.SHA256)
}
