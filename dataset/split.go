package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

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

	Threads int         // 0: one for each core; the files do not depend on it
	Lease   *disk.Lease // must be held when files are put in place; nil: not checked

	// Progress, where set, is called every few hundred lines with the bytes read and the size of the input.
	Progress func(read, size int64)
	// Card, where set, writes the data card into the folder before it is put in place.
	Card func(dir string, m *Manifest, r *Report) error
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
	in, err := source.Open(o.Paths)
	if err != nil {
		return nil, err
	}
	if err := in.Digest(ctx); err != nil {
		return nil, err
	}
	s := &splitter{SplitOptions: o, input: in, options: o.options()}
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
	input    *source.Input
	options  Options
	renderer *renderer
	report   *Report
	refused  bool // has too many bad lines
	writers  [parts]*partWriter
}

// finished returns the manifest of a split of the same input and options that is already there, else nil.
func (s *splitter) finished() (*Manifest, error) {
	m, err := ReadManifest(s.Dir)
	if err != nil || m.FormatVersion < oldestFormat || m.FormatVersion > formatVersion || !reflect.DeepEqual(m.Options, s.options) || !m.covers(s.Dir) {
		return nil, nil // absent, damaged or with other options: split again
	}
	digest := datasetDigest(s.input.Files)
	lines := max(m.Lines, 1)
	if m.DatasetDigest != digest || float64(m.Bad)/float64(lines) > s.MaxBadFraction {
		return nil, nil
	}
	m.Reused = true
	return m, nil
}

func (s *splitter) run(ctx context.Context) (m *Manifest, err error) {
	s.report = newReport(s.input.Files, s.options)
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
	rows, err := record.NewReader(s.Records)
	if err != nil {
		return "", err
	}
	parter := newParter(s.Seed)
	err = s.input.Read(ctx, source.Position{}, func(b source.Block) error {
		for _, row := range b.Rows {
			s.report.Lines = row.Line
			if row.Fault != "" {
				s.report.bad(b.File, row.Line, record.Reason(row.Fault), row.Detail)
				continue
			}
			if err := s.line(rows, row, parter); err != nil {
				return err
			}
		}
		if s.Progress != nil {
			s.Progress(b.Read, s.input.Size)
		}
		return nil
	})
	return datasetDigest(s.input.Files), err
}

// line writes one line's sample to its part, or counts in the report why there is none.
func (s *splitter) line(rows *record.Reader, row source.Row, parter *parter) error {
	number := row.Line
	r, reason, detail := rows.Parse(row.JSON, nil)
	if reason != "" {
		s.report.bad(0, number, reason, detail)
		return nil
	}
	r.Line = number
	if reason, detail := s.renderer.check(&r); reason != "" {
		s.report.bad(0, number, reason, detail)
		return nil
	}
	sample, err := s.renderer.sample(&r)
	if err != nil {
		return err
	}
	if tokens := len(sample.InputIDs); tokens > s.MaxSeqLength {
		s.report.tooLong(0, number, tokens)
		return nil
	}
	return s.writers[parter.part(&r)].add(sample)
}

// complete finishes the files and writes the manifest.
func (s *splitter) complete(temp, digest string) (*Manifest, error) {
	m := &Manifest{FormatVersion: formatVersion, InputPath: s.input.Files[0].Path, Inputs: s.input.Files, DatasetDigest: digest, Options: s.options, Lines: s.report.Lines,
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
			m.InputPath, m.Lines, m.Train.Samples, m.Test.Samples, m.Bad, m.TooLong)}
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

// Check does all that Split does but leave anything behind. Without a tokenizer it parses, applies the policy and counts
// duplicates, and the report has no lengths in tokens.
func Check(ctx context.Context, o SplitOptions) (*Manifest, *Report, error) {
	return nil, nil, errors.New("not yet")
}

// options are those that decide the contents of the parts.
func (o *SplitOptions) options() Options {
	return Options{TokenizerDigest: o.Tokenizer.Digest(), TemplateDigest: o.Tokenizer.TemplateDigest(), MaxSeqLength: o.MaxSeqLength,
		QuadrupleThinking: o.QuadrupleThinking, Seed: o.Seed, PolicyVersion: "none", Records: o.Records, TrainOn: o.TrainOn}
}
