package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/disk"
	"so8t/policy"
	"so8t/tokenizer"
)

// SplitOptions are the arguments of Split and Check.
type SplitOptions struct {
	Paths     []string             // input files, absolute, in order; see source.Resolve
	Dir       string               // the files are written here: the splits folder of a run's output directory
	Tokenizer *tokenizer.Tokenizer // nil: Check only, which then renders nothing

	MaxSeqLength       int // tokens; longer samples are dropped and counted
	QuadrupleThinking  bool
	Records            record.Options
	TrainOn            string // last or assistant: the answers that the loss counts
	MaxBadFraction     float64
	MaxTooLongFraction float64
	Seed               uint64
	Policy             *policy.Policy // nil: none

	// Trained says that checkpoints were trained on the split in Dir: one of an earlier format, which knew no policy, is then
	// kept, so that the run goes on with its own samples.
	Trained bool

	Threads int         // 0: one for each core; the files do not depend on it
	Lease   *disk.Lease // must be held when files are put in place; nil: not checked

	// Progress, where set, is called every few hundred lines with the bytes read and the size of the input.
	Progress func(read, size int64)
	// Card, where set, writes the data card into the folder before it is put in place.
	Card func(dir string, m *Manifest, r *Report) error

	commitEvery int64 // bytes of input; 0: commitBytes
}

// InputError is a fault of the dataset or of the model's chat template; a retry cannot help.
type InputError = source.Error

// Split writes the folder Dir: train.arrow, val.arrow, test.arrow, policy_report.json and manifest.json.
//
// The folder appears whole or not at all. A split of the same input with the same options that is already there is
// recognised by the input's digest and returned as it is. A split that was killed goes on where it last committed, in a
// hidden folder beside Dir. If too many records are bad or too long, only policy_report.json is written, which lists them;
// a finished split that is already there stays.
func Split(ctx context.Context, o SplitOptions) (*Manifest, error) {
	if o.Tokenizer == nil {
		return nil, errors.New("split dataset: options: no tokenizer")
	}
	m, err := split(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("split dataset: %w", err)
	}
	return m, nil
}

func split(ctx context.Context, o SplitOptions) (*Manifest, error) {
	s, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if m := s.finished(); m != nil {
		return m, removeWork(workDir(s.Dir), s.Lease)
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	m, err := s.run(ctx)
	if err == nil || errors.As(err, new(*InputError)) { // else the next attempt goes on with the work
		err = errors.Join(err, removeWork(workDir(s.Dir), s.Lease))
	}
	return m, err
}

// splitter is one split in progress.
type splitter struct {
	SplitOptions
	input    *source.Input
	options  Options
	near     *policy.Options // where near duplicates are looked for
	renderer *renderer       // nil without a tokenizer
}

// begin checks the options and reads the input's digest.
func begin(ctx context.Context, o SplitOptions) (*splitter, error) {
	for _, fraction := range [...]float64{o.MaxBadFraction, o.MaxTooLongFraction} {
		if !(fraction >= 0 && fraction <= 1) {
			return nil, fmt.Errorf("options: MaxBadFraction %v, MaxTooLongFraction %v", o.MaxBadFraction, o.MaxTooLongFraction)
		}
	}
	if len(o.Paths) == 0 || o.Threads < 0 || o.Tokenizer != nil && o.MaxSeqLength < 1 {
		return nil, fmt.Errorf("options: %d paths, %d threads, MaxSeqLength %d", len(o.Paths), o.Threads, o.MaxSeqLength)
	}
	if o.QuadrupleThinking && !o.Records.FourClass {
		return nil, errors.New("options: QuadrupleThinking without Records.FourClass")
	}
	if len(o.Records.Columns) == 0 {
		o.Records.Columns = nil // as the manifest reads it
	}
	if len(o.Records.Labels) == 0 {
		o.Records.Labels = nil
	}
	o.Threads = cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	o.commitEvery = cmp.Or(o.commitEvery, commitBytes)
	in, err := source.Open(o.Paths)
	if err != nil {
		return nil, err
	}
	if err := in.Digest(ctx); err != nil {
		return nil, err
	}
	s := &splitter{SplitOptions: o, input: in, options: Options{MaxSeqLength: o.MaxSeqLength, QuadrupleThinking: o.QuadrupleThinking,
		Seed: o.Seed, PolicyVersion: noPolicy, Records: o.Records, TrainOn: o.TrainOn}}
	if o.Tokenizer != nil {
		s.options.TokenizerDigest, s.options.TemplateDigest = o.Tokenizer.Digest(), o.Tokenizer.TemplateDigest()
	}
	if o.Policy != nil {
		s.options.PolicyVersion = o.Policy.Version()
		if p := o.Policy.Options(); p.NearDuplicates == "report" || p.NearDuplicates == "drop" {
			s.near = &p
			s.options.NearDuplicates = fmt.Sprintf("%s %v", p.NearDuplicates, p.NearDuplicateThreshold)
		}
	}
	return s, nil
}

const noPolicy = "none"

// prepare tries the chat template before anything is read.
func (s *splitter) prepare() (err error) {
	if s.Tokenizer != nil {
		s.renderer, err = newRenderer(s.Tokenizer, renderOptions{FourClass: s.Records.FourClass, Thinking: s.QuadrupleThinking,
			TrainOn: s.TrainOn, Files: s.Paths})
	}
	return err
}

// finished returns the manifest of a split of the same input and options that is already there, else nil.
func (s *splitter) finished() *Manifest {
	m, err := ReadManifest(s.Dir)
	if err != nil || m.DatasetDigest != datasetDigest(s.input.Files) || !m.madeWith(s.options) || !m.covers(s.Dir) {
		return nil // absent, damaged, or of another input or other options: split again
	}
	if m.FormatVersion < formatVersion && !s.Trained {
		return nil // it knows neither the policy nor the options of today
	}
	if exceeds(m.Bad, m.Lines, s.MaxBadFraction) || exceeds(m.TooLong, rendered(m.Lines, m.Bad, m.Removed), s.MaxTooLongFraction) {
		return nil
	}
	m.Reused = true
	return m
}

// run goes on with the work folder and puts the finished split in place.
func (s *splitter) run(ctx context.Context) (m *Manifest, err error) {
	identity, err := workIdentity(s.input.Files, s.options)
	if err != nil {
		return nil, err
	}
	w, err := openWork(workDir(s.Dir), s.Lease, identity, s.newReport())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := s.gather(ctx, w); err != nil {
		return nil, err
	}
	if err := w.Report.verdict(s.limits()); err != nil {
		return nil, errors.Join(err, s.leaveReport(w.Report))
	}
	err = disk.ReplaceDir(s.Lease, s.Dir, func(temp string) error {
		m, err = s.assemble(ctx, w, temp)
		return err
	})
	return m, err
}

// gather reads the input to its end.
func (s *splitter) gather(ctx context.Context, w *work) error {
	if err := s.read(ctx, w); err != nil {
		return err
	}
	return s.input.Unchanged()
}

func (s *splitter) limits() limits {
	l := limits{bad: s.MaxBadFraction, tooLong: s.MaxTooLongFraction, listed: "all are listed in " + filepath.Join(s.Dir, reportName)}
	if s.stands() {
		l.listed = "bin/worker data check --json lists them"
	}
	return l
}

// stands reports whether a finished split, which is never overwritten by a refusal, stands in Dir with a report of its own.
func (s *splitter) stands() bool {
	_, err := os.Stat(filepath.Join(s.Dir, manifestName))
	return err == nil
}

func (s *splitter) newReport() *Report {
	r := newReport(s.input.Files, s.options)
	if s.Policy != nil {
		r.Policy = s.Policy.Options()
	}
	return r
}

// leaveReport writes policy_report.json of a refused input, unless a finished split stands there.
func (s *splitter) leaveReport(r *Report) error {
	if s.stands() {
		return nil
	}
	return disk.ReplaceDir(s.Lease, s.Dir, func(temp string) error {
		return disk.ReplaceJSON(filepath.Join(temp, reportName), r)
	})
}
