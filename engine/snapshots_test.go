package engine

import (
	"errors"
	"slices"
	"testing"

	"so8t/engine/checkpoint"
)

func openStore(t *testing.T) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.OpenStore(t.TempDir(), checkpoint.Identity{WorkflowID: "test"}, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// held is the memory that snapshots hold once what was given back is freed.
func held(t *testing.T, m *Model) (bytes uint64) {
	t.Helper()
	err := m.run(ctx, func() error {
		uses, err := m.device.Memory()
		for _, u := range uses {
			if u.Purpose == "snapshot" {
				bytes = u.Held
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestSnapshotStaysAsItWas: training goes on while a state is written, and the state is still that of its step.
func TestSnapshotStaysAsItWas(t *testing.T) {
	first := newTiny(t, false, 2, false)
	for range 2 {
		if _, err := first.Step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	state, err := first.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if held(t, first.model) == 0 {
		t.Error("a snapshot holds no memory")
	}
	want := finish(t, first)
	store := openStore(t)
	if _, err := store.Save(ctx, state, "test"); err != nil {
		t.Fatal(err)
	}
	if n := held(t, first.model); n != 0 {
		t.Errorf("%d bytes are held of a snapshot that was written", n)
	}
	saved, _, err := store.Latest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := newTiny(t, false, 2, false)
	if err := second.Restore(ctx, saved); err != nil {
		t.Fatal(err)
	}
	if second.Position().Step != 2 || !slices.Equal(want, finish(t, second)) {
		t.Error("a run resumed from a state that was written later ends elsewhere")
	}
}

// TestClosedModelIsNotRead: a state that is written too late is refused, and leaves nothing.
func TestClosedModelIsNotRead(t *testing.T) {
	trainer := newTiny(t, true, 1, false)
	state, err := trainer.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 { // closing again is harmless
		if err := trainer.model.Close(); err != nil {
			t.Fatal(err)
		}
	}
	store := openStore(t)
	if _, err := store.Save(ctx, state, "test"); !errors.Is(err, errClosed) {
		t.Errorf("saved with %v", err)
	}
	if _, _, err := store.Latest(ctx); !errors.Is(err, checkpoint.ErrNone) {
		t.Errorf("the store holds something: %v", err)
	}
}

// TestSaveBehindWhileTraining: states are read beside the steps, and none is left behind.
func TestSaveBehindWhileTraining(t *testing.T) {
	trainer, store := newTiny(t, false, 2, false), openStore(t)
	for !trainer.Done() {
		if _, err := trainer.Step(ctx); err != nil {
			t.Fatal(err)
		}
		state, err := trainer.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.SaveBehind(state, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Wait(); err != nil {
		t.Fatal(err)
	}
	want, err := trainer.model.Parameters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := held(t, trainer.model); n != 0 {
		t.Errorf("%d bytes of snapshots are left", n)
	}
	state, _, err := store.Latest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again := newTiny(t, false, 2, false)
	if err := again.Restore(ctx, state); err != nil {
		t.Fatal(err)
	}
	if got, err := again.model.Parameters(ctx); err != nil || !slices.Equal(got, want) {
		t.Errorf("the last state is not the last step's (%v)", err)
	}
}
