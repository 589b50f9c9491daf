package checkpoint

import (
	"context"
	"errors"
	"path/filepath"

	"so8t/engine/safetensors"
)

// LatestMapped is Latest for a reader that needs few of the tensors. The files are verified as streams, which leaves nothing
// in memory; the tensors are then views on the mapped file, read from disk where they are touched. The state's Release
// unmaps them.
func (s *Store) LatestMapped(ctx context.Context) (*State, Info, error) {
	return s.latest(ctx, s.loadMapped)
}

func (s *Store) loadMapped(ctx context.Context, dir string) (*State, Info, error) {
	m, err := s.manifestOf(dir)
	if err != nil {
		return nil, Info{}, err
	}
	var metrics []byte
	for _, f := range m.Files {
		contents, err := readFile(ctx, dir, f, f.Name == metricsName)
		if err != nil {
			return nil, Info{}, err
		}
		if f.Name == metricsName {
			metrics = contents
		}
	}
	path := filepath.Join(dir, stateName)
	file, err := safetensors.Open(path)
	var malformed *safetensors.FormatError
	switch {
	case errors.As(err, &malformed):
		return nil, Info{}, &DamageError{path, err}
	case err != nil:
		return nil, Info{}, damageIfLost(path, err)
	}
	state := &State{Identity: m.Identity, Position: m.Position, Metrics: metrics, Release: func() { _ = file.Close() }}
	for _, name := range file.Names() {
		t, _ := file.Tensor(name)
		state.Tensors = append(state.Tensors, safetensors.Named{Name: name, Tensor: t})
	}
	return state, m.info(dir), nil
}
