package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"so8t/dataset/record"
	"so8t/dataset/source"
	"so8t/disk"
	"so8t/tokenizer"
)

// SplitOptions are the arguments of Split.
type SplitOptions struct {
	InputPath         string // JSONL file, or a glob of which the newest match is taken
	Dir               string // the files are written here: the splits folder of a run's output directory
	Tokenizer         *tokenizer.Tokenizer
	MaxSeqLength      int // tokens; longer samples are dropped and counted
	QuadrupleThinking bool
	MaxBadFraction    float64
	Seed              uint64
	Policy            Policy
	Lease             *disk.Lease // must be held when files are put in place; nil: not checked

	// Progress, where set, is called every few hundred lines with the bytes read and the size of the input.
	Progress func(read, size int64)
}

// InputError is a fault of the dataset or of the model's chat template; a retry cannot help.
type InputError = source.Error

// Split writes the folder Dir: train.arrow, val.arrow, test.arrow, policy_report.json and manifest.json.
//
// The folder appears whole or not at all. A split of the same input with the same options that is already there is
// recognised by the input's digest and returned as it is. If too many lines are bad, only
// policy_report.json is written, which lists them.
func Split(ctx context.Context, o SplitOptions) (*Manifest, error) {
	m, err := split(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("split dataset: %w", err)
	}
	return m, nil
}

func split(ctx context.Context, o SplitOptions) (*Manifest, error) {
	if o.Tokenizer == nil || o.MaxSeqLength < 1 || !(o.MaxBadFraction >= 0 && o.MaxBadFraction <= 1) {
		return nil, fmt.Errorf("options: tokenizer %t, MaxSeqLength %d, MaxBadFraction %v", o.Tokenizer != nil, o.MaxSeqLength, o.MaxBadFraction)
	}
	if o.Policy.Version = cmp.Or(o.Policy.Version, noPolicy); (o.Policy.Version == noPolicy) != (len(o.Policy.Rules) == 0) {
		return nil, fmt.Errorf("options: a policy of version %q with %d rules", o.Policy.Version, len(o.Policy.Rules))
	}
	paths, err := source.Resolve([]string{o.InputPath}, "newest")
	if err != nil {
		return nil, err
	}
	s := &splitter{SplitOptions: o, path: paths[0], options: Options{
		TokenizerDigest: o.Tokenizer.Digest(), TemplateDigest: o.Tokenizer.TemplateDigest(), MaxSeqLength: o.MaxSeqLength,
		QuadrupleThinking: o.QuadrupleThinking, Seed: o.Seed, PolicyVersion: o.Policy.Version,
	}}
	if m, err := s.finished(); m != nil || err != nil {
		return m, err
	}
	if s.renderer, err = newRenderer(o.Tokenizer, o.QuadrupleThinking); err != nil {
		return nil, err
	}
	return s.run(ctx)
}

// splitter is one split in progress.
type splitter struct {
	SplitOptions
	path     string // the input file
	options  Options
	renderer *renderer
	report   *Report
	refused  bool // has too many bad lines
	writers  [parts]*partWriter
}

// finished returns the manifest of a split of the same input and options that is already there, else nil.
func (s *splitter) finished() (*Manifest, error) {
	m, err := ReadManifest(s.Dir)
	if err != nil || m.FormatVersion < oldestFormat || m.FormatVersion > formatVersion || m.Options != s.options || !m.covers(s.Dir) {
		return nil, nil // absent, damaged or with other options: split again
	}
	digest, err := digestFile(s.path)
	if err != nil {
		return nil, err
	}
	lines := max(m.Lines, 1)
	if m.DatasetDigest != digest || float64(m.Bad)/float64(lines) > s.MaxBadFraction {
		return nil, nil
	}
	m.Reused = true
	return m, nil
}

func (s *splitter) run(ctx context.Context) (m *Manifest, err error) {
	s.report = newReport(s.path, s.options)
	err = disk.ReplaceDir(s.Lease, s.Dir, func(temp string) error {
		m, err = s.fill(ctx, temp)
		return err
	})
	if s.refused {
		err = errors.Join(err, s.leaveReport())
	}
	return m, err
}

// fill writes the files of a split into temp.
func (s *splitter) fill(ctx context.Context, temp string) (m *Manifest, err error) {
	defer func() {
		for _, w := range s.writers {
			if w != nil {
				err = errors.Join(err, w.close())
			}
		}
	}()
	schema := schemaOf(s.options)
	for i, name := range partNames {
		if s.writers[i], err = newPartWriter(filepath.Join(temp, name+".arrow"), schema); err != nil {
			return nil, err
		}
	}
	digest, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.report.verdict(s.MaxBadFraction); err != nil {
		s.refused = true
		return nil, err
	}
	return s.complete(temp, digest)
}

// read streams the input into the parts, and returns the digest of the bytes it read.
func (s *splitter) read(ctx context.Context) (digest string, err error) {
	in, err := source.Open([]string{s.path})
	if err != nil {
		return "", err
	}
	if err := in.Digest(ctx); err != nil {
		return "", err
	}
	rows, err := record.NewReader(record.Options{})
	if err != nil {
		return "", err
	}
	parter := newParter(s.Seed)
	err = in.Read(ctx, source.Position{}, func(b source.Block) error {
		for _, row := range b.Rows {
			s.report.Lines = row.Line
			if row.Fault != "" {
				s.report.bad(row.Line, record.Reason(row.Fault), row.Detail)
				continue
			}
			if err := s.line(rows, row, parter); err != nil {
				return err
			}
		}
		if s.Progress != nil {
			s.Progress(b.Read, in.Size)
		}
		return nil
	})
	return in.Files[0].SHA256, err
}

// line writes one line's sample to its part, or counts in the report why there is none.
func (s *splitter) line(rows *record.Reader, row source.Row, parter *parter) error {
	number := row.Line
	r, reason, detail := rows.Parse(row.JSON, nil)
	if reason != "" {
		s.report.bad(number, reason, detail)
		return nil
	}
	r.Line = number
	for _, rule := range s.Policy.Rules {
		if !rule.Allows(&r) {
			s.report.removed(number, rule.Name())
			return nil
		}
	}
	if reason, detail := s.renderer.check(&r); reason != "" {
		s.report.bad(number, reason, detail)
		return nil
	}
	sample, err := s.renderer.sample(&r)
	if err != nil {
		return err
	}
	if tokens := len(sample.InputIDs); tokens > s.MaxSeqLength {
		s.report.tooLong(number, tokens)
		return nil
	}
	return s.writers[parter.part(&r)].add(sample)
}

// complete finishes the files and writes the manifest.
func (s *splitter) complete(temp, digest string) (*Manifest, error) {
	m := &Manifest{FormatVersion: formatVersion, InputPath: s.path, DatasetDigest: digest, Options: s.options, Lines: s.report.Lines,
		Bad: s.report.Bad, Reasons: s.report.BadByReason, Removed: s.report.Removed, TooLong: s.report.TooLong}
	for i, w := range s.writers {
		info, err := w.finish()
		if err != nil {
			return nil, err
		}
		*m.part(i) = info
	}
	if m.Train.Samples == 0 || m.Test.Samples == 0 {
		return nil, &InputError{fmt.Errorf("%s: %d lines give %d training and %d test samples (%d bad lines, %d too long); both are needed",
			s.path, m.Lines, m.Train.Samples, m.Test.Samples, m.Bad, m.TooLong)}
	}
	if err := disk.ReplaceJSON(filepath.Join(temp, reportName), s.report); err != nil {
		return nil, err
	}
	return m, disk.ReplaceJSON(filepath.Join(temp, manifestName), m)
}

// leaveReport writes policy_report.json of a refused input, unless a finished split stands there.
func (s *splitter) leaveReport() error {
	if _, err := os.Stat(filepath.Join(s.Dir, manifestName)); err == nil {
		return nil
	}
	return disk.ReplaceDir(s.Lease, s.Dir, func(temp string) error {
		return disk.ReplaceJSON(filepath.Join(temp, reportName), s.report)
	})
}
