package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"so8t/disk"
	"so8t/engine/safetensors"
)

// Options of a Store.
type Options struct {
	MaxCheckpoints int          // how many rotation keeps; 0: all
	Lease          *disk.Lease  // who may write; nil: nobody asks
	Logger         *slog.Logger // nil: slog.Default()
}

// Store is the folder of one run's checkpoints. Its methods may be called from several goroutines.
type Store struct {
	dir   string
	id    Identity
	max   int
	lease *disk.Lease
	log   *slog.Logger

	commits sync.Mutex // one save at a time
	behind  behind
}

// OpenStore opens the folder dir, creating it if need be. With a lease it also
// removes what crashed saves and deletions left behind.
func OpenStore(dir string, id Identity, o Options) (*Store, error) {
	if o.MaxCheckpoints < 0 {
		return nil, fmt.Errorf("open checkpoints %s: max_checkpoints is %d", dir, o.MaxCheckpoints)
	}
	s := &Store{dir: dir, id: id, max: o.MaxCheckpoints, lease: o.Lease, log: cmp.Or(o.Logger, slog.Default())}
	s.behind.idle.L = &s.behind.mu
	err := disk.MakeDir(dir)
	if err == nil && s.lease != nil {
		err = s.lease.During(s.cleanUp)
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoints %s: %w", dir, err)
	}
	return s, nil
}

// Hidden names in the store's folder. None of them is ever taken for a checkpoint.
const (
	savingPrefix   = ".saving-"   // a save that is not committed yet
	replacedPrefix = ".replaced-" // the former save at a position, until the new one is in place
	trashPrefix    = ".trash-"    // being deleted
)

// cleanUp removes leftovers, and brings back a former save whose successor did not get into place.
func (s *Store) cleanUp() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		former, replaced := strings.CutPrefix(e.Name(), replacedPrefix)
		_, statErr := os.Lstat(filepath.Join(s.dir, former))
		switch {
		case replaced && errors.Is(statErr, os.ErrNotExist):
			s.log.Warn("checkpoint brought back: the save that was to replace it did not complete", "dir", former)
			err = os.Rename(path, filepath.Join(s.dir, former))
		case replaced:
			err = s.discard(path)
		case strings.HasPrefix(e.Name(), savingPrefix), strings.HasPrefix(e.Name(), trashPrefix):
			s.log.Info("leftover of a crash removed", "path", path)
			err = os.RemoveAll(path)
		}
		if err != nil {
			return err
		}
	}
	return disk.SyncDir(s.dir)
}

// folders lists the checkpoints by name, the furthest first.
func (s *Store) folders() ([]Position, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []Position
	for _, e := range entries {
		if p, ok := parseFolder(e.Name()); ok && e.IsDir() {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Position) int { return b.compare(a) })
	return list, nil
}

func (p Position) compare(other Position) int {
	return cmp.Or(cmp.Compare(p.Step, other.Step), cmp.Compare(p.Epoch, other.Epoch))
}

func (s *Store) folder(p Position) string { return filepath.Join(s.dir, p.Folder()) }

// Latest reads the furthest checkpoint that holds. Damaged ones are passed
// over, logged and listed in Info.Rejected. Errors: ErrNone if there is none
// to take (the message lists what was rejected), *IdentityError if it comes
// upon one that belongs to another run.
func (s *Store) Latest(ctx context.Context) (*State, Info, error) {
	return s.latest(ctx, s.load)
}

func (s *Store) latest(ctx context.Context, load func(ctx context.Context, dir string) (*State, Info, error)) (*State, Info, error) {
	positions, err := s.folders()
	if err != nil {
		return nil, Info{}, fmt.Errorf("latest checkpoint: %w", err)
	}
	var rejected []Rejection
	none := fmt.Errorf("%w in %s", ErrNone, s.dir)
	for _, p := range positions {
		dir := s.folder(p)
		state, info, err := load(ctx, dir)
		info.Rejected = rejected
		var damage *DamageError
		switch {
		case err == nil:
			return state, info, nil
		case !errors.As(err, &damage):
			return nil, info, fmt.Errorf("latest checkpoint: %w", err)
		}
		s.log.Warn("checkpoint rejected", "dir", dir, "error", err)
		rejected = append(rejected, Rejection{dir, err})
		none = fmt.Errorf("%w; rejected: %w", none, err)
	}
	return nil, Info{Rejected: rejected}, none
}

// manifestOf reads the manifest of this run's checkpoint at dir.
func (s *Store) manifestOf(dir string) (*manifest, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Identity != s.id {
		return nil, &IdentityError{Dir: dir, Have: m.Identity, Want: s.id}
	}
	return m, nil
}

// load reads the checkpoint at dir. The state's tensors are views on the very
// bytes that were verified.
func (s *Store) load(ctx context.Context, dir string) (*State, Info, error) {
	m, err := s.manifestOf(dir)
	if err != nil {
		return nil, Info{}, err
	}
	contents := map[string][]byte{}
	for _, f := range m.Files {
		if contents[f.Name], err = readFile(ctx, dir, f, true); err != nil {
			return nil, Info{}, err
		}
	}
	tensors, _, err := safetensors.Decode(contents[stateName])
	if err != nil {
		return nil, Info{}, &DamageError{filepath.Join(dir, stateName), err}
	}
	state := &State{Identity: m.Identity, Position: m.Position, Metrics: contents[metricsName], Tensors: tensors}
	return state, m.info(dir), nil
}
