package dataset

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"so8t/dataset/neardup"
	"so8t/disk"
)

// assemble compares the records, writes the Arrow files into dir, and describes them in the report and the manifest.
// Without a dir it writes nothing.
func (s *splitter) assemble(ctx context.Context, w *work, dir string) (*Manifest, error) {
	r := w.Report
	m := &Manifest{FormatVersion: formatVersion, InputPath: s.input.Files[0].Path, Inputs: s.input.Files,
		DatasetDigest: datasetDigest(s.input.Files), Options: s.options, Lines: r.Lines, Bad: r.Bad, Reasons: r.BadByReason,
		Removed: r.Removed, TooLong: r.TooLong}
	if err := s.assembleParts(ctx, w, dir, m); err != nil {
		return nil, err
	}
	if m.Train.Samples == 0 || m.Test.Samples == 0 {
		return m, &InputError{Err: fmt.Errorf("%s: %d lines give %d training and %d test samples (%d bad, %d removed, %d too long); both are needed",
			m.InputPath, m.Lines, m.Train.Samples, m.Test.Samples, m.Bad, sum(r.Removed), m.TooLong)}
	}
	if dir == "" {
		return m, nil
	}
	if err := disk.ReplaceJSON(filepath.Join(dir, reportName), r); err != nil {
		return nil, err
	}
	if s.Card != nil {
		if err := s.Card(dir, m, r); err != nil {
			return nil, fmt.Errorf("data card: %w", err)
		}
	}
	disk.Crash("split.merged")
	return m, disk.ReplaceJSON(filepath.Join(dir, manifestName), m)
}

// assembleParts writes train beside the comparison of records and the parts that depend on it.
func (s *splitter) assembleParts(ctx context.Context, w *work, dir string, m *Manifest) error {
	var stats [parts]*Statistics
	assemble := func(ctx context.Context, part int, twins map[neardup.Ref]neardup.Twin) (err error) {
		stats[part], err = s.assemblePart(ctx, w, part, twins, dir, m.part(part))
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return assemble(ctx, train, nil) })
	both.Go(func() error {
		twins, err := s.compare(ctx, w)
		for part := val; part <= test && err == nil; part++ {
			err = assemble(ctx, part, twins)
		}
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	for part, name := range partNames {
		w.Report.Parts[name] = stats[part]
	}
	return nil
}

// compare finds records that are equal, and those of validation and test that are near one in train.
func (s *splitter) compare(ctx context.Context, w *work) (twins map[neardup.Ref]neardup.Twin, err error) {
	if w.Report.Duplicates, err = w.store.Duplicates(ctx); err != nil || s.near == nil {
		return nil, err
	}
	w.Report.NearDuplicates = &NearDuplicates{Threshold: s.near.NearDuplicateThreshold, Dropped: s.near.NearDuplicates == "drop", Lines: []NearLine{}}
	return w.store.Twins(ctx, s.near.NearDuplicateThreshold)
}

// assemblePart writes the Arrow file of a part from its rows. Only val and test have twins, and change the report.
func (s *splitter) assemblePart(ctx context.Context, w *work, part int, twins map[neardup.Ref]neardup.Twin, dir string, info *PartInfo) (
	stats *Statistics, err error) {
	stats = newStatistics(s.Records.FourClass)
	var arrow *partWriter
	if dir != "" {
		if arrow, err = newPartWriter(filepath.Join(dir, partNames[part]+".arrow"), schemaOf(s.options)); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, arrow.close()) }()
	}
	var sample Sample
	err = w.logs[part].each(ctx, func(row []byte) error {
		if err := sample.decode(row); err != nil {
			return err
		}
		if twin, ok := twins[neardup.Ref{File: int32(sample.SourceFile), Line: sample.SourceLine}]; ok {
			w.Report.near(part, &sample, twin)
			if w.Report.NearDuplicates.Dropped {
				return nil
			}
			sample.NearDuplicate = true
		}
		stats.add(&sample)
		if arrow == nil {
			return nil
		}
		return arrow.add(sample)
	})
	if err != nil {
		return nil, err
	}
	*info = PartInfo{Samples: stats.Samples, Tokens: stats.Tokens, Targets: stats.Targets, Longest: stats.Longest, PerLabel: stats.PerLabel}
	if arrow != nil {
		info.Bytes, info.SHA256, err = arrow.finish()
	}
	return stats, err
}
