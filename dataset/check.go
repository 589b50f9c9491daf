package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Check does all that Split does and leaves nothing behind. Without a tokenizer it parses, applies the policy and compares
// records, and the report counts no tokens. Where the data are refused, the error is an *InputError, and the report is
// there all the same.
func Check(ctx context.Context, o SplitOptions) (*Manifest, *Report, error) {
	m, r, err := check(ctx, o)
	if err != nil {
		err = fmt.Errorf("check dataset: %w", err)
	}
	return m, r, err
}

func check(ctx context.Context, o SplitOptions) (m *Manifest, r *Report, err error) {
	o.Lease, o.Card = nil, nil
	s, err := begin(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, nil, err
	}
	temp, err := os.MkdirTemp("", "so8t-check-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	s.commitEvery = 1 << 62 // nobody goes on with it
	w, err := openWork(filepath.Join(temp, "work"), nil, "", s.newReport())
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := s.gather(ctx, w); err != nil {
		return nil, nil, err
	}
	refused := w.Report.verdict(limits{bad: o.MaxBadFraction, tooLong: o.MaxTooLongFraction})
	m, err = s.assemble(ctx, w, "")
	if refused != nil {
		err = refused
	}
	return m, w.Report, err
}
