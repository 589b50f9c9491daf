package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"so8t/disk"
	"so8t/engine/safetensors"
)

// smallDisk mounts a file system of a few hundred kilobytes, where that is permitted.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func bigState(step, bytes int) *State {
	state := testState(step)
	state.Tensors = append(state.Tensors, safetensors.Named{Name: "big", Tensor: safetensors.Tensor{
		DType: safetensors.U8, Shape: []int64{int64(bytes)}, Data: make([]byte, bytes),
	}})
	return state
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	s := openStore(t, dir, Options{Lease: acquire(t, dir, "borea", 1)})
	mustSave(t, s, 1)
	for bytes := 0; bytes < 300<<10; bytes += 16 << 10 { // full at every stage, the manifest's included
		_, err := s.Save(t.Context(), bigState(2, bytes), "test")
		if err == nil {
			if err := os.RemoveAll(s.folder(testState(2).Position)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "checkpoint_epoch_1_step_2") {
			t.Errorf("%d bytes: %v", bytes, err)
		}
		if got := listing(t, dir); len(got) != 1 {
			t.Errorf("%d bytes: folder holds %v", bytes, got)
		}
		wantLatest(t, s, 1)
	}
	if _, err := s.Save(t.Context(), bigState(2, 300<<10), "test"); err == nil {
		t.Error("300 kB went onto a disk of 256")
	}
	mustSave(t, s, 3) // and once there is free space again
	wantLatest(t, s, 3)
}

func TestReadOnlyFolder(t *testing.T) {
	dir := smallDisk(t)
	s := openStore(t, dir, Options{})
	mustSave(t, s, 1)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip("cannot remount: ", err)
	}
	if _, err := s.Save(t.Context(), testState(2), "test"); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("save: %v", err)
	}
	if _, err := disk.AcquireLease(t.Context(), dir, disk.Claimant{Owner: "borea", Attempt: 1, Timeout: time.Minute}); !errors.Is(err, unix.EROFS) {
		t.Errorf("lease: %v", err)
	}
	wantLatest(t, openStore(t, dir, Options{}), 1) // looking is always possible
}

// A failing write without any privilege: the process may not write files over 1 MiB. The limit is the whole process's, and
// well above what the testing package writes of its own meanwhile.
func TestFileSizeLimit(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	mustSave(t, s, 1)
	state := testState(2)
	state.Tensors = append(state.Tensors, safetensors.Named{Name: "large", Tensor: safetensors.Tensor{DType: safetensors.U8, Shape: []int64{2 << 20},
		Data: make([]byte, 2<<20)}})
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Save(t.Context(), state, "test")
	if restoreErr := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), "write "+stateName) {
		t.Errorf("%v", err)
	}
	if got := listing(t, s.dir); len(got) != 1 {
		t.Errorf("folder holds %v", got)
	}
	wantLatest(t, s, 1)
}

func TestCancelledSaveLeavesNothing(t *testing.T) {
	s := openStore(t, memoryDir(t), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Save(ctx, testState(1), "test"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := listing(t, s.dir); len(got) != 0 {
		t.Errorf("folder holds %v", got)
	}
}

// Falling back is for lost data; an error that says nothing about the data must not cost work.
func TestWhatIsDamage(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EIO: true, unix.ENOENT: true, io.ErrUnexpectedEOF: true,
		unix.EACCES: false, unix.EMFILE: false, context.Canceled: false,
	} {
		var damage *DamageError
		if got := errors.As(damageIfLost("x", fmt.Errorf("read: %w", err)), &damage); got != want {
			t.Errorf("%v is damage: %v", err, got)
		}
	}
	s := openStore(t, memoryDir(t), Options{})
	mustSave(t, s, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, info, err := s.Latest(ctx); !errors.Is(err, context.Canceled) || len(info.Rejected) > 0 {
		t.Errorf("cancelled: %v, %+v", err, info)
	}
}

// The state of Phi-3.5-mini with r = 64 and float32 AdamW is about 1.7 GB.
func BenchmarkSaveAndLoad(b *testing.B) {
	const bytes = 1_700_000_000
	state := bigState(1, bytes)
	data := state.Tensors[len(state.Tensors)-1].Data
	for i := 0; i < bytes; i += 512 {
		data[i] = byte(i >> 9) // every page is real
	}
	s, err := OpenStore(b.TempDir(), testID, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("save", func(b *testing.B) {
		b.SetBytes(bytes)
		for b.Loop() {
			os.RemoveAll(s.folder(state.Position))
			if _, err := s.Save(b.Context(), state, "benchmark"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		b.SetBytes(bytes)
		for b.Loop() {
			if _, _, err := s.Latest(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
