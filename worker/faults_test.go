package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"so8t/contract"
	"so8t/crashlab/powerfs"
	"so8t/disk"
	"so8t/native/nativetest"
)

// failingDisk is a disk, for a run's output, that can be made to fail.
func failingDisk(t *testing.T) *powerfs.FS {
	t.Helper()
	dir := t.TempDir()
	disk, err := powerfs.Mount(dir, 1)
	if errors.Is(err, powerfs.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Unmount() })
	return disk
}

// A disk that fills up, fails or turns read-only in mid-epoch pauses the run, with the reason on its page.
// Once the disk works, resume leads to the same adapter as on a good disk.
func TestDiskFaults(t *testing.T) {
	c := newCluster(t)
	p := c.work()
	run, out := c.start("calm", nil)
	c.finish(run, p)
	want := c.adapter(out)

	const change = powerfs.Create | powerfs.Write | powerfs.Mkdir | powerfs.Rename | powerfs.Unlink | powerfs.Rmdir | powerfs.SetAttr | powerfs.Truncate
	for name, tc := range map[string]struct {
		fail func(t *testing.T, d *powerfs.FS)
		why  string
	}{
		"quota":                 {func(t *testing.T, d *powerfs.FS) { d.Quota(d.Stats().Used+100_000, syscall.EDQUOT) }, "disk quota exceeded"},
		"full":                  {func(t *testing.T, d *powerfs.FS) { d.Quota(d.Stats().Used+100_000, syscall.ENOSPC) }, "no space left on device"},
		"fsync fails":           {rule(powerfs.Rule{Kinds: powerfs.Fsync, Path: "state.safetensors", Errno: syscall.EIO}), "input/output error"},
		"fsync of names fails":  {rule(powerfs.Rule{Kinds: powerfs.FsyncDir, Path: "checkpoints", Errno: syscall.EIO}), "input/output error"},
		"writes fail half-way":  {rule(powerfs.Rule{Kinds: powerfs.Write, Path: "state.safetensors", Errno: syscall.EIO, From: 2}), "input/output error"},
		"read-only":             {rule(powerfs.Rule{Kinds: change, Errno: syscall.EROFS}), "read-only file system"},
		"not permitted":         {rule(powerfs.Rule{Kinds: powerfs.Create | powerfs.Mkdir, Errno: syscall.EACCES}), "permission denied"},
		"export has no space":   {rule(powerfs.Rule{Kinds: powerfs.Write, Path: "model*.safetensors", Errno: syscall.ENOSPC}), "no space left on device"},
		"evaluation cannot end": {rule(powerfs.Rule{Kinds: powerfs.Rename, Path: "retrained.json", Errno: syscall.EIO}), "input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := failingDisk(t)
			c := &cluster{t: t, server: c.server, client: c.client, binary: c.binary, dataset: c.dataset}
			run, _ := c.start("fault-"+strings.ReplaceAll(name, " ", "-"), map[string]any{"output_dir": filepath.Join(disk.Dir(), "out")})
			out := filepath.Join(disk.Dir(), "out")
			c.untilStep(out, 3)
			tc.fail(t, disk)
			c.waitsForAPerson(run, tc.why)
			disk.Quota(0, 0)
			clearRules()
			c.update(run, contract.VerbResume)
			c.finish(run, p)
			if got := c.adapter(out); got != want {
				t.Errorf("adapter %s, on a good disk %s", got, want)
			}
		})
	}
}

var clears []func()

func rule(r powerfs.Rule) func(*testing.T, *powerfs.FS) {
	return func(t *testing.T, d *powerfs.FS) {
		end, err := d.Fail(r)
		if err != nil {
			t.Fatal(err)
		}
		clears = append(clears, end)
	}
}

func clearRules() {
	for _, end := range clears {
		end()
	}
	clears = nil
}

// A damaged checkpoint is passed over for the one before it, which the log tells, and the adapter is the
// same. A checkpoint of another run is refused by name.
func TestDamagedCheckpoints(t *testing.T) {
	c := newCluster(t)
	p := c.work()
	run, out := c.start("calm", nil)
	c.finish(run, p)
	want := c.adapter(out)

	flip := func(file string) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, file)
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o644)
		}
	}
	for name, damage := range map[string]func(dir string) error{
		"bit of the state":   flip("state.safetensors"),
		"bit of the metrics": flip("metrics.json"),
		"bit of manifest":    flip("manifest.json"),
		"manifest cut short": func(dir string) error { return os.Truncate(filepath.Join(dir, "manifest.json"), 200) },
		"state cut short":    func(dir string) error { return os.Truncate(filepath.Join(dir, "state.safetensors"), 5000) },
		"manifest gone":      func(dir string) error { return os.Remove(filepath.Join(dir, "manifest.json")) },
		"all gone":           os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			c := &cluster{t: t, server: c.server, client: c.client, binary: c.binary, dataset: c.dataset}
			run, out := c.start("damage-"+strings.ReplaceAll(name, " ", "-"), nil)
			c.untilStep(out, 6)
			if answer := c.update(run, contract.VerbPause); !strings.HasPrefix(answer, "paused") {
				t.Fatal(answer)
			}
			dirs := checkpoints(t, out)
			if len(dirs) < 2 {
				t.Fatalf("only %v", dirs)
			}
			if err := damage(dirs[len(dirs)-1]); err != nil {
				t.Fatal(err)
			}
			c.update(run, contract.VerbResume)
			c.finish(run, p)
			if got := c.adapter(out); got != want {
				t.Errorf("adapter %s, undamaged %s", got, want)
			}
			if said := p.said(); name != "all gone" && !strings.Contains(said, "checkpoint rejected") {
				t.Error("the log says nothing of the damage")
			}
		})
	}

	for name, tc := range map[string]struct {
		set  map[string]any
		says string
	}{
		"another run":           {map[string]any{}, "workflow id"},
		"another configuration": {map[string]any{"training.learning_rate": 5e-4}, "config digest"},
		"another base":          {map[string]any{"model.base_model_path": c.brokenBase(flip("model.safetensors"))}, "base model digest"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cluster{t: t, server: c.server, client: c.client, binary: c.binary, dataset: c.dataset}
			foreign, theirs := c.start("foreign-"+strings.ReplaceAll(name, " ", "-"), tc.set)
			c.finish(foreign, p)
			run, out := c.start("host-of-"+strings.ReplaceAll(name, " ", "-"), nil)
			c.untilStep(out, 3)
			c.update(run, contract.VerbPause)
			all := checkpoints(t, theirs)
			newest := all[len(all)-1]
			if err := os.CopyFS(filepath.Join(out, "checkpoints", filepath.Base(newest)), os.DirFS(newest)); err != nil {
				t.Fatal(err)
			}
			c.update(run, contract.VerbResume)
			c.failsWith(run, contract.ErrOutputOther, tc.says)
		})
	}
}

func checkpoints(t *testing.T, out string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(out, "checkpoints", "checkpoint_*"))
	if err != nil {
		t.Fatal(err)
	}
	step := func(dir string) int {
		var m struct {
			Position struct {
				Step int `json:"step"`
			} `json:"position"`
		}
		text, _ := os.ReadFile(filepath.Join(dir, "manifest.json"))
		_ = json.NewDecoder(bytes.NewReader(text)).Decode(&m)
		return m.Position.Step
	}
	slices.SortFunc(dirs, func(a, b string) int { return step(a) - step(b) })
	return dirs
}

// Two servers, two hosts, one output directory: neither server knows of the other's run, so only the
// lease and run.json keep them apart. The second run is refused by name while the first lives, and takes over once the
// first has been silent for its heartbeat timeout. From then on the first ends, even where the other holds no lease.
func TestTwoHostsOneOutput(t *testing.T) {
	one := newCluster(t)
	two := newCluster(t)
	two.dataset = one.dataset
	p := one.work()
	q := two.workAs("second-host")
	out := filepath.Join(t.TempDir(), "shared")
	set := map[string]any{"output_dir": out, "training.num_train_epochs": 60, "checkpoint.heartbeat_timeout_seconds": 3}
	first, _ := one.start("first", set)
	one.untilStep(out, 3)
	second, _ := two.start("second", set)
	two.failsWith(second, contract.ErrOutputInUse, `is in use by "first" (process`)

	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	third, _ := two.start("third", set)
	two.untilLogged(q, "msg=training workflow=third")
	if waited := time.Since(stopped); waited > 30*time.Second {
		t.Errorf("the lease of a process that does not answer held for %v", waited)
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	one.failsWith(first, contract.ErrOutputInUse, "was taken over by workflow third on host second-host")
	if err := two.client.CancelWorkflow(t.Context(), third.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	var cancelled *temporal.CanceledError
	if err := third.Get(t.Context(), nil); !errors.As(err, &cancelled) {
		t.Errorf("the run that took over was disturbed: %v", err)
	}
}

// A GPU in use by another process is not shared: the run pauses, naming its user, and goes on once it is free.
func TestOneGPU(t *testing.T) {
	nativetest.EmulatedGPU(t)
	t.Setenv("CUDA_VISIBLE_DEVICES", "GPU-5f")
	lease, err := disk.AcquireLease(t.Context(), filepath.Join(os.TempDir(), "so8t-cuda-GPU-5f"), disk.Claimant{Owner: "tonight", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	c.work()
	run, out := c.start("gpu", map[string]any{"device": "cuda", "training.per_device_train_batch_size": 1,
		"training.gradient_accumulation_steps": 1, "training.lora_r": 4, "training.save_steps": 1})
	c.waitsForAPerson(run, `device cuda-GPU-5f is in use by "tonight" (process`)
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	c.update(run, contract.VerbResume)
	c.untilStep(out, 1)
	if err := c.client.CancelWorkflow(t.Context(), run.GetID(), ""); err != nil {
		t.Fatal(err)
	}
	_ = run.Get(t.Context(), nil)
}
